#include "kernels/landmark_attention.h"

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/landmark_blocks.h"

namespace lookback {

std::int64_t landmark_attention_forward_items(const LandmarkAttentionParams& params) {
  return params.batch_size * params.num_heads * params.num_blocks * simd::parts_of_block(params);
}

std::int64_t landmark_attention_forward_scratch(const LandmarkAttentionParams& params) {
  const std::int64_t side = simd::largest_part(params);
  const std::int64_t of_block = params.block_size * (2 * params.head_dim + side);
  const std::int64_t of_landmarks = simd::in_eights(params.num_blocks) * (params.head_dim + side + 1);
  return of_block + of_landmarks + side * (2 * params.head_dim + 3);
}

void landmark_attention_forward(const LandmarkAttentionParams& params, std::int64_t first, std::int64_t last,
                                float* scratch, SimdLevel level) {
  simd::kernels_of(level).landmark_attention_forward(params, first, last, scratch);
}

std::int64_t landmark_attention_backward_scratch(const LandmarkAttentionParams& params) {
  const std::int64_t side = simd::largest_part(params);
  return 2 * params.block_size * (params.head_dim + side) + side * (5 * params.head_dim + 6);
}

void landmark_attention_backward_heads(const LandmarkAttentionParams& params,
                                       const LandmarkAttentionGradients& gradients, std::int64_t first,
                                       std::int64_t last, float* scratch, SimdLevel level) {
  simd::kernels_of(level).landmark_attention_backward_heads(params, gradients, first, last, scratch);
}

void landmark_attention_backward_queries(const LandmarkAttentionParams& params,
                                         const LandmarkAttentionGradients& gradients, std::int64_t first,
                                         std::int64_t last, float* scratch, SimdLevel level) {
  simd::kernels_of(level).landmark_attention_backward_queries(params, gradients, first, last, scratch);
}

std::int64_t landmark_attention_key_items(const LandmarkAttentionParams& params) {
  return params.batch_size * params.num_kv_heads * params.num_blocks;
}

void landmark_attention_backward_keys(const LandmarkAttentionParams& params,
                                      const LandmarkAttentionGradients& gradients, std::int64_t first,
                                      std::int64_t last, float* scratch, SimdLevel level) {
  simd::kernels_of(level).landmark_attention_backward_keys(params, gradients, first, last, scratch);
}

}  // namespace lookback
