#include "kernels/silu_and_mul.h"

#include "kernels/cpu/kernel_table.h"

namespace lookback {

void silu_and_mul_forward(const SiluAndMulParams& params, float* output, std::int64_t first, std::int64_t last,
                          SimdLevel level) {
  simd::kernels_of(level).silu_and_mul_forward(params, output, first, last);
}

void silu_and_mul_backward(const SiluAndMulParams& params, const SiluAndMulGradients& gradients, std::int64_t first,
                           std::int64_t last, SimdLevel level) {
  simd::kernels_of(level).silu_and_mul_backward(params, gradients, first, last);
}

}  // namespace lookback
