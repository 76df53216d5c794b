// Landmarks into 8 bits, for one SIMD level: a pass for a row's largest element, and one over what is then in the
// cache.
#pragma once

#include "kernels/cpu/vectors.h"
#include "kernels/landmark_compression_params.h"

namespace lookback::simd {

template <int Width>
[[gnu::always_inline]] inline Float<Width> magnitude(Float<Width> x) {
  return larger(x, -x);
}

template <int Width>
[[gnu::always_inline]] inline float largest_lane(Float<Width> vector) {
  if constexpr (Width == 4) {
    return larger(larger(vector[0], vector[1]), larger(vector[2], vector[3]));
  } else {
    Float<Width / 2> halves[2];
    __builtin_memcpy(halves, &vector, sizeof(vector));
    return largest_lane<Width / 2>(larger(halves[0], halves[1]));
  }
}

// To the nearest integer, for |x| <= 127: where 1.5 * 2^23 is added, there is no room for a fraction.
template <int Width>
[[gnu::always_inline]] inline Float<Width> nearest_integer(Float<Width> x) {
  const Float<Width> no_fraction = splat<Width>(0x1.8p23F);
  return (x + no_fraction) - no_fraction;
}

template <int Width>
struct CompressedSums {
  Float<Width> remainder = {}, rounded = {};  // of squares
};

// Width elements of a landmark.
template <int Width>
[[gnu::always_inline]] inline void compress_elements(const float* landmark, float scale, std::int8_t* to,
                                                     CompressedSums<Width>& sums) {
  using Bytes [[gnu::vector_size(Width)]] = std::int8_t;
  const Float<Width> numbers = load<Width>(landmark);
  // A row of zeros has the scale 0, and its elements are 0.
  const Float<Width> integers = nearest_integer<Width>(numbers / (scale > 0 ? scale : 1.0F));
  // In two steps: from floats at once, GCC converts lane by lane.
  const Bytes bytes = __builtin_convertvector(__builtin_convertvector(integers, Int<Width>), Bytes);
  __builtin_memcpy(to, &bytes, sizeof(bytes));
  const Float<Width> rounded = integers * scale;
  const Float<Width> remainder = numbers - rounded;
  sums.remainder += remainder * remainder;
  sums.rounded += rounded * rounded;
}

template <class Level>
void compress_landmarks(const LandmarkCompressionParams& params, std::int64_t first, std::int64_t last) {
  constexpr int width = Level::width;
  const std::int64_t in_vectors = params.size / width * width;
  for (std::int64_t e = first; e < last; ++e) {
    const float* const landmark = params.landmarks + e * params.size;
    std::int8_t* const elements = params.elements + e * params.size;
    Float<width> largest_lanes = {};
    for (std::int64_t i = 0; i < in_vectors; i += width) {
      largest_lanes = larger(largest_lanes, magnitude<width>(load<width>(landmark + i)));
    }
    // What is left of a row, filled up with zeros.
    float rest[width] = {};
    std::int8_t rest_elements[width];
    for (std::int64_t i = in_vectors; i < params.size; ++i) rest[i - in_vectors] = landmark[i];
    largest_lanes = larger(largest_lanes, magnitude<width>(load<width>(rest)));
    const float scale = largest_lane<width>(largest_lanes) / 127;
    CompressedSums<width> sums;
    for (std::int64_t i = 0; i < in_vectors; i += width) {
      compress_elements<width>(landmark + i, scale, elements + i, sums);
    }
    if (in_vectors < params.size) {
      compress_elements<width>(rest, scale, rest_elements, sums);
      for (std::int64_t i = in_vectors; i < params.size; ++i) elements[i] = rest_elements[i - in_vectors];
    }
    params.scales[e] = scale;
    params.slack[e] = params.remainder_factor * __builtin_sqrtf(sum_lanes<width>(sums.remainder)) +
                      params.rounded_factor * __builtin_sqrtf(sum_lanes<width>(sums.rounded));
  }
}

}  // namespace lookback::simd
