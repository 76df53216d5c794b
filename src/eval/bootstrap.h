// Intervals for any figure over independent items, such as documents.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "eval/wilson.h"

namespace lookback {

// The 2.5% and 97.5% quantiles of each value of `statistic` over 1,000 samples of `count` items, drawn with replacement
// (percentile bootstrap). statistic: of the items whose numbers it is given, always as many values; one that is NaN
// takes no part. An interval is NaN where all are.
std::vector<Interval> bootstrap_intervals(
    std::size_t count, std::uint64_t seed,
    const std::function<std::vector<double>(std::span<const std::size_t> drawn)>& statistic);

}  // namespace lookback
