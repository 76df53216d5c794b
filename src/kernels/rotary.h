// Rotary position embedding (arXiv 2104.09864, rotate-half) on the CPU: rows first..last-1 on the calling thread.
#pragma once

#include <cstdint>

#include "kernels/rotary_params.h"
#include "kernels/simd_level.h"

namespace lookback {

void rotary_rows(const RotaryParams& params, std::int64_t first, std::int64_t last,
                 SimdLevel level = best_simd_level());

}  // namespace lookback
