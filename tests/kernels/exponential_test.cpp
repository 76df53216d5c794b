#include "kernels/cpu/exponential.h"

#include <gtest/gtest.h>

#include <cmath>

namespace lookback {
namespace {

// The portable width alone: this file is compiled without a level's flags. Wider levels run the same lines, with the
// products and sums fused, and are compared through the kernels.
double exponential_of(float x) {
  const simd::Float<4> result = simd::exponential<4>(simd::splat<4>(x));
  return result[2];
}

void expect_close(double x) {
  const auto rounded = static_cast<float>(x);
  const double expected = std::exp(static_cast<double>(rounded));
  ASSERT_LE(std::abs(exponential_of(rounded) - expected), 4 * 0x1p-24 * expected) << rounded;
}

TEST(Exponential, StaysWithinItsBound) {
  constexpr int count = 100'000;
  for (int i = 0; i < count; ++i) {
    expect_close(-87.0 * i / count);
    // From -1e-7 on by equal ratios.
    expect_close(-1e-7 * std::pow(8.7e8, static_cast<double>(i) / count));
  }
}

TEST(Exponential, HasItsExactValues) {
  EXPECT_EQ(exponential_of(0), 1);
  EXPECT_EQ(exponential_of(-87.5F), 0);
  EXPECT_EQ(exponential_of(-INFINITY), 0);
  EXPECT_TRUE(std::isnan(exponential_of(NAN)));
}

}  // namespace
}  // namespace lookback
