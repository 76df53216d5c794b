#include "kernels/landmark_compression.h"

#include "kernels/cpu/kernel_table.h"

namespace lookback {

void compress_landmarks(const LandmarkCompressionParams& params, std::int64_t first_landmark,
                        std::int64_t last_landmark, SimdLevel level) {
  simd::kernels_of(level).compress_landmarks(params, first_landmark, last_landmark);
}

}  // namespace lookback
