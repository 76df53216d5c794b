// Products of queries with landmarks kept in 8 bits, on the CPU: a landmark is read once for all queries. Does a range
// of landmarks on the calling thread; whoever calls divides the range among threads.
#pragma once

#include <cstdint>

#include "kernels/landmark_scores_params.h"
#include "kernels/simd_level.h"

namespace lookback {

void landmark_scores(const LandmarkScoresParams& params, std::int64_t first_landmark, std::int64_t last_landmark,
                     float* scratch, SimdLevel level = best_simd_level());

// Floats of scratch that a call needs, not shared with others.
inline std::int64_t landmark_scores_scratch(const LandmarkScoresParams& params) {
  return params.num_queries * params.size;
}

}  // namespace lookback
