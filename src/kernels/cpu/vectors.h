// Vectors of floats in the compiler's own vector type (GCC and Clang): one source for every width, and arithmetic is
// written as arithmetic. Everything here is inlined, so that no function of one SIMD level is shared with another.
#pragma once

#include <cstdint>

namespace lookback::simd {

template <int Width>
struct Vectors {
  using Float [[gnu::vector_size(Width * 4)]] = float;
  using Int [[gnu::vector_size(Width * 4)]] = std::int32_t;
  using Bits [[gnu::vector_size(Width * 4)]] = std::uint32_t;
  // As floats lie in memory: anywhere.
  using Stored [[gnu::vector_size(Width * 4), gnu::aligned(4), gnu::may_alias]] = float;
};

template <int Width>
using Float = typename Vectors<Width>::Float;
template <int Width>
using Int = typename Vectors<Width>::Int;
template <int Width>
using Bits = typename Vectors<Width>::Bits;

template <int Width>
[[gnu::always_inline]] inline Float<Width> load(const float* from) {
  return *reinterpret_cast<const typename Vectors<Width>::Stored*>(from);
}

template <int Width>
[[gnu::always_inline]] inline void store(float* to, Float<Width> vector) {
  *reinterpret_cast<typename Vectors<Width>::Stored*>(to) = vector;
}

// All lanes `value`.
template <int Width>
[[gnu::always_inline]] inline Float<Width> splat(float value) {
  return value - Float<Width>{};
}

// Lane by lane the larger.
template <class Vector>
[[gnu::always_inline]] inline Vector larger(Vector a, Vector b) {
  return a > b ? a : b;
}

[[gnu::always_inline]] inline std::int64_t smaller(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

// Where vector `vector` begins in a row of vectors.
template <int Width>
[[gnu::always_inline]] constexpr std::int64_t first_lane(int vector) {
  return std::int64_t{vector} * Width;
}

// Rounded up to a multiple of 8.
[[gnu::always_inline]] inline std::int64_t in_eights(std::int64_t count) { return (count + 7) / 8 * 8; }

// Sum of the lanes.
template <int Width>
[[gnu::always_inline]] inline float sum_lanes(Float<Width> vector) {
  if constexpr (Width == 4) {
    return (vector[0] + vector[1]) + (vector[2] + vector[3]);
  } else {
    Float<Width / 2> halves[2];
    __builtin_memcpy(halves, &vector, sizeof(vector));
    return sum_lanes<Width / 2>(halves[0] + halves[1]);
  }
}

}  // namespace lookback::simd
