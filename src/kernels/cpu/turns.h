// The order of work items whose cost grows with their place.
#pragma once

#include <cstdint>

namespace lookback::simd {

// From begin and end by turns, so that equal ranges of items take about equally long.
[[gnu::always_inline]] inline std::int64_t by_turns(std::int64_t i, std::int64_t count) {
  return i % 2 == 0 ? i / 2 : count - 1 - i / 2;
}

}  // namespace lookback::simd
