// Sums beside the sums of their terms' absolute values, from which error bounds follow.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace lookback {

struct Sums {
  std::vector<double> values, magnitudes;
  explicit Sums(std::int64_t count) : values(count), magnitudes(count) {}
  void add(std::int64_t place, double value, double magnitude) {
    values[place] += value;
    magnitudes[place] += magnitude;
  }
};

// A dot product likewise.
struct Dot {
  double value = 0, magnitude = 0;
};

inline Dot dot(const float* a, const float* b, std::int64_t count) {
  Dot sum;
  for (std::int64_t i = 0; i < count; ++i) {
    const double product = static_cast<double>(a[i]) * b[i];
    sum.value += product;
    sum.magnitude += std::abs(product);
  }
  return sum;
}

constexpr double unit_roundoff = 0x1p-24;

// Each sum's error is at most `relative` times the sum of its terms' absolute values, and `absolute`, which at the
// least stands for what exp flushes to 0.
inline void expect_within(const std::vector<float>& found, const Sums& expected, double relative, const char* name,
                          double absolute = 1e-30) {
  ASSERT_EQ(found.size(), expected.values.size()) << name;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double bound = relative * expected.magnitudes[i] + absolute;
    // Written so that NaN fails.
    if (!(std::abs(found[i] - expected.values[i]) <= bound)) {
      FAIL() << name << "[" << i << "] is " << found[i] << ", expected " << expected.values[i] << " within " << bound;
    }
  }
}

inline std::string size_text(const char* name, std::int64_t size) { return name + std::to_string(size) + " "; }

}  // namespace lookback
