#include "kernels/rms_norm.h"

#include "kernels/cpu/kernel_table.h"

namespace lookback {

void rms_norm_forward(const RmsNormParams& params, std::int64_t first_row, std::int64_t last_row, SimdLevel level) {
  simd::kernels_of(level).rms_norm_forward(params, first_row, last_row);
}

void rms_norm_backward(const RmsNormParams& params, const RmsNormGradients& gradients, std::int64_t first_block,
                       std::int64_t last_block, SimdLevel level) {
  simd::kernels_of(level).rms_norm_backward(params, gradients, first_block, last_block);
}

}  // namespace lookback
