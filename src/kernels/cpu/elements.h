// Eight elements of any type that keys and values may have, as floats.
#pragma once

#include "kernels/cpu/vectors.h"
#include "kernels/element_type.h"

namespace lookback::simd {

template <ElementType Type>
struct Element {
  using Stored = float;
};
template <>
struct Element<ElementType::bfloat16> {
  using Stored = std::uint16_t;
};
template <>
struct Element<ElementType::float16> {
  using Stored = std::uint16_t;
};
template <>
struct Element<ElementType::int8> {
  using Stored = std::int8_t;
};

[[gnu::always_inline]] inline Bits<8> load_halves(const std::uint16_t* from) {
  using Halves [[gnu::vector_size(16)]] = std::uint16_t;
  Halves halves;
  __builtin_memcpy(&halves, from, sizeof(halves));
  return __builtin_convertvector(halves, Bits<8>);
}

// A bfloat16 is the upper half of a float.
[[gnu::always_inline]] inline Float<8> from_bfloat16(Bits<8> bits) { return reinterpret_cast<Float<8>>(bits << 16); }

// Exponent and fraction move to a float's place; multiplication by 2^112 makes up for the exponents' different biases,
// for subnormal numbers too. Infinity and NaN have all exponent bits set in both.
[[gnu::always_inline]] inline Float<8> from_float16(Bits<8> bits) {
  const Bits<8> moved = (bits & 0x7fff) << 13;
  const auto finite = reinterpret_cast<Bits<8>>(reinterpret_cast<Float<8>>(moved) * 0x1p112F);
  const auto special = reinterpret_cast<Bits<8>>((bits & 0x7c00) == 0x7c00);
  const Bits<8> magnitude = (special & (moved | 0x7f800000)) | (~special & finite);
  return reinterpret_cast<Float<8>>(magnitude | (bits & 0x8000) << 16);
}

template <ElementType Type>
[[gnu::always_inline]] inline Float<8> load_eight(const typename Element<Type>::Stored* from) {
  if constexpr (Type == ElementType::bfloat16) {
    return from_bfloat16(load_halves(from));
  } else if constexpr (Type == ElementType::float16) {
    return from_float16(load_halves(from));
  } else if constexpr (Type == ElementType::int8) {
    using Bytes [[gnu::vector_size(8)]] = std::int8_t;
    Bytes bytes;
    __builtin_memcpy(&bytes, from, sizeof(bytes));
    // By way of 16 bits: GCC 12 takes straight steps from 8 to 32 element by element.
    using Words [[gnu::vector_size(16)]] = std::int16_t;
    const auto words = __builtin_convertvector(bytes, Words);
    return __builtin_convertvector(__builtin_convertvector(words, Int<8>), Float<8>);
  } else {
    return load<8>(from);
  }
}

// visit.template operator()<type>() for the type.
template <class Visit>
[[gnu::always_inline]] inline void with_element_type(ElementType type, Visit visit) {
  switch (type) {
    case ElementType::float32:
      return visit.template operator()<ElementType::float32>();
    case ElementType::bfloat16:
      return visit.template operator()<ElementType::bfloat16>();
    case ElementType::float16:
      return visit.template operator()<ElementType::float16>();
    case ElementType::int8:
      return visit.template operator()<ElementType::int8>();
  }
}

}  // namespace lookback::simd
