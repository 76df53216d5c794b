#include "kernels/landmark_scores.h"

#include "kernels/cpu/kernel_table.h"

namespace lookback {

void landmark_scores(const LandmarkScoresParams& params, std::int64_t first_landmark, std::int64_t last_landmark,
                     float* scratch, SimdLevel level) {
  simd::kernels_of(level).landmark_scores(params, first_landmark, last_landmark, scratch);
}

}  // namespace lookback
