// Puts landmarks into 8 bits, on the CPU, for landmark_scores (landmark_scores.h): each is read once. Does a range of
// landmarks on the calling thread; whoever calls divides the range among threads.
#pragma once

#include <cstdint>

#include "kernels/landmark_compression_params.h"
#include "kernels/simd_level.h"

namespace lookback {

void compress_landmarks(const LandmarkCompressionParams& params, std::int64_t first_landmark,
                        std::int64_t last_landmark, SimdLevel level = best_simd_level());

}  // namespace lookback
