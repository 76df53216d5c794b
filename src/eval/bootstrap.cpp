#include "eval/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/random.h"

namespace lookback {
namespace {

constexpr std::size_t num_samples = 1000;

// Between the two nearest ranks.
double quantile(const std::vector<double>& sorted, double fraction) {
  if (sorted.empty()) return std::numeric_limits<double>::quiet_NaN();
  const double place = fraction * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], place - static_cast<double>(below));
}

}  // namespace

std::vector<Interval> bootstrap_intervals(
    std::size_t count, std::uint64_t seed,
    const std::function<std::vector<double>(std::span<const std::size_t> drawn)>& statistic) {
  std::vector<std::vector<double>> values;
  std::vector<std::size_t> drawn(count);
  Random random(seed);
  for (std::size_t sample = 0; sample < num_samples; ++sample) {
    for (std::size_t& item : drawn) item = static_cast<std::size_t>(random.below(count));
    const std::vector<double> of_sample = statistic(drawn);
    values.resize(of_sample.size());
    for (std::size_t k = 0; k < of_sample.size(); ++k) {
      if (!std::isnan(of_sample[k])) values[k].push_back(of_sample[k]);
    }
  }
  std::vector<Interval> intervals;
  for (std::vector<double>& one : values) {
    std::ranges::sort(one);
    intervals.push_back({quantile(one, 0.025), quantile(one, 0.975)});
  }
  return intervals;
}

}  // namespace lookback
