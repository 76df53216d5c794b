// The inner part of SwiGLU (arXiv 2002.05202), silu(gate) * up, on the CPU: elements first..last-1 on the calling
// thread.
#pragma once

#include <cstdint>

#include "kernels/silu_and_mul_params.h"
#include "kernels/simd_level.h"

namespace lookback {

void silu_and_mul_forward(const SiluAndMulParams& params, float* output, std::int64_t first, std::int64_t last,
                          SimdLevel level = best_simd_level());

void silu_and_mul_backward(const SiluAndMulParams& params, const SiluAndMulGradients& gradients, std::int64_t first,
                           std::int64_t last, SimdLevel level = best_simd_level());

}  // namespace lookback
