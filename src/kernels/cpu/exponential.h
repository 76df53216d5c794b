// exp of a vector, for arguments of at most 0 as softmax has them.
#pragma once

#include <cstdint>

#include "kernels/cpu/vectors.h"

namespace lookback::simd {

// exp(x) for x <= 0: 2^n * exp(r) with n = round(x / ln 2) and |r| <= ln 2 / 2. exp(r) is Cephes' expf polynomial of
// degree 6, whose relative error is below 1e-7 on that interval; reduction and rounding bring the whole to less than
// 4 units of 2^-24 (2.4e-7), which the test holds it to. Below -87, where float32 nears its smallest normal number,
// the result is 0; NaN stays NaN.
template <int Width>
[[gnu::always_inline]] inline Float<Width> exponential(Float<Width> x) {
  constexpr float smallest = -87.0F;
  constexpr float log2_e = 1.44269504088896341F;
  // ln 2 in two parts, the first with so few bits that n times it is exact.
  constexpr float ln2_high = 0.693359375F;
  constexpr float ln2_low = -2.12194440e-4F;
  // Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits.
  constexpr float round_bias = 12582912.0F;
  const Float<Width> shifted = x * log2_e + round_bias;
  const Float<Width> n = shifted - round_bias;
  const Float<Width> r = x - n * ln2_high - n * ln2_low;
  Float<Width> series = splat<Width>(1.9875691500e-4F);
  series = series * r + 1.3981999507e-3F;
  series = series * r + 8.3334519073e-3F;
  series = series * r + 4.1665795894e-2F;
  series = series * r + 1.6666665459e-1F;
  series = series * r + 5.0000001201e-1F;
  series = series * (r * r) + (r + 1.0F);
  // Multiplication by 2^n is an addition to the exponent's bits.
  const Bits<Width> power = reinterpret_cast<Bits<Width>>(shifted) << 23;
  const Bits<Width> result = reinterpret_cast<Bits<Width>>(series) + power;
  const Bits<Width> vanished = reinterpret_cast<Bits<Width>>(x < smallest);
  return reinterpret_cast<Float<Width>>(result & ~vanished);
}

}  // namespace lookback::simd
