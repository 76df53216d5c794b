// Which tokens of a text repeat what stood before: what can be known by copying alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lookback {

// How many tokens before it must be the same, unless somebody says otherwise.
inline constexpr std::int64_t usual_min_match = 12;

// For each token, how many tokens back the same token last stood behind the same min_match tokens; 0 where it never
// did, and for the first min_match tokens. Exact. Time and memory: linear in the text.
std::vector<std::int64_t> repeat_distances(std::span<const std::int64_t> ids, std::int64_t min_match);

}  // namespace lookback
