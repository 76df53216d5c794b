// RMSNorm of rows (arXiv 1910.07467) on the CPU. Each function does a range of rows, or of blocks of rows, on the
// calling thread; whoever calls divides the range among threads.
#pragma once

#include <cstdint>

#include "kernels/rms_norm_params.h"
#include "kernels/simd_level.h"

namespace lookback {

void rms_norm_forward(const RmsNormParams& params, std::int64_t first_row, std::int64_t last_row,
                      SimdLevel level = best_simd_level());

// Items: blocks of rms_norm_block_rows rows, the last of which may be shorter.
void rms_norm_backward(const RmsNormParams& params, const RmsNormGradients& gradients, std::int64_t first_block,
                       std::int64_t last_block, SimdLevel level = best_simd_level());

}  // namespace lookback
