// bfloat16 and float16 by their bits, rounded to nearest even as the hardware does.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/cuda/tile.h"

namespace lookback {

template <class Half>
struct HalfNumbers;

template <>
struct HalfNumbers<cuda::Bfloat16> {
  static constexpr const char* name = "bfloat16";
  static constexpr double unit_roundoff = 0x1p-8;
  static constexpr double smallest = 0x1p-133;  // the least positive number

  static float to_float(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

  static std::uint16_t bits(float x) {
    const auto whole = std::bit_cast<std::uint32_t>(x);
    if (std::isnan(x)) return 0x7fff;
    return static_cast<std::uint16_t>((whole + 0x7fff + (whole >> 16 & 1)) >> 16);
  }
};

template <>
struct HalfNumbers<cuda::Float16> {
  static constexpr const char* name = "float16";
  static constexpr double unit_roundoff = 0x1p-11;
  static constexpr double smallest = 0x1p-24;

  static float to_float(std::uint16_t bits) {
    const int exponent = bits >> 10 & 31;
    const int fraction = bits & 1023;
    double size = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    if (exponent == 31) size = fraction == 0 ? INFINITY : NAN;
    return static_cast<float>((bits & 0x8000) != 0 ? -size : size);
  }

  static std::uint16_t bits(float x) {
    const unsigned sign = std::signbit(x) ? 0x8000 : 0;
    if (std::isnan(x)) return 0x7fff;
    const double size = std::abs(static_cast<double>(x));
    if (size >= 65520) return static_cast<std::uint16_t>(sign | 0x7c00);
    // Fractions of 2^-10 of the leading power of two, 2^-14 at the least.
    const int exponent = size < 0x1p-14 ? -14 : std::ilogb(size);
    const auto fractions = static_cast<unsigned>(std::nearbyint(std::ldexp(size, 10 - exponent)));
    // A carry into the next power of two is the exponent's next number.
    return static_cast<std::uint16_t>(sign | (static_cast<unsigned>(exponent + 14) * 1024 + fractions));
  }
};

}  // namespace lookback
