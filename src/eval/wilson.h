// Intervals for fractions of few samples.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace lookback {

struct Interval {
  double low = 0;
  double high = 1;
};

// The 95% score interval of Wilson (1927) for num_successes of num_trials; [0, 1] without trials.
inline Interval wilson_interval(std::int64_t num_successes, std::int64_t num_trials) {
  if (num_trials == 0) return {};
  constexpr double z = 1.959963984540054;
  const auto n = static_cast<double>(num_trials);
  const double p = static_cast<double>(num_successes) / n;
  const double centre = (p + z * z / (2 * n)) / (1 + z * z / n);
  const double half = z / (1 + z * z / n) * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  return {std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

}  // namespace lookback
