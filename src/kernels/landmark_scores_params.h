// The border between the search for landmarks and its kernel.
#pragma once

#include <cstdint>

namespace lookback {

// scores[c, e] = scales[e] * sum over i of query[c, i] * elements[e, i]; all contiguous.
struct LandmarkScoresParams {
  std::int64_t num_queries = 0;           // C
  std::int64_t num_landmarks = 0;         // E
  std::int64_t size = 0;                  // d
  const float* query = nullptr;           // [C, d]
  const std::int8_t* elements = nullptr;  // [E, d]
  const float* scales = nullptr;          // [E]
  float* scores = nullptr;                // [C, E], written
};

}  // namespace lookback
