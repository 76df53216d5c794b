// Cross-entropy of rows of logits, and its gradient in the logits' place, on the CPU: rows first..last-1 on the calling
// thread.
#pragma once

#include <cstdint>

#include "kernels/cross_entropy_params.h"
#include "kernels/simd_level.h"

namespace lookback {

void cross_entropy_rows(const CrossEntropyParams& params, std::int64_t first, std::int64_t last,
                        SimdLevel level = best_simd_level());

}  // namespace lookback
