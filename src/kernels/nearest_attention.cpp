#include "kernels/nearest_attention.h"

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/nearest_blocks.h"

namespace lookback {

std::int64_t nearest_attention_forward_items(const NearestAttentionParams& params) {
  return params.batch_size * params.num_heads * simd::num_nearest_blocks(params);
}

std::int64_t nearest_attention_forward_scratch(const NearestAttentionParams& params) {
  const std::int64_t side = simd::nearest_block(params);
  return side * (2 * params.head_dim + side + 2 * simd::in_eights(params.top_k));
}

void nearest_attention_forward(const NearestAttentionParams& params, std::int64_t first, std::int64_t last,
                               float* scratch, SimdLevel level) {
  simd::kernels_of(level).nearest_attention_forward(params, first, last, scratch);
}

std::int64_t nearest_attention_backward_scratch(const NearestAttentionParams& params) { return params.top_k; }

void nearest_attention_backward(const NearestAttentionParams& params, const NearestAttentionGradients& gradients,
                                std::int64_t first, std::int64_t last, float* scratch, SimdLevel level) {
  simd::kernels_of(level).nearest_attention_backward(params, gradients, first, last, scratch);
}

}  // namespace lookback
