#include "kernels/joint_chunk_attention.h"

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/query_block.h"

namespace lookback {

std::int64_t joint_chunk_attention_forward_scratch(const ChunkAttentionParams& params) {
  const std::int64_t columns = simd::block_rows_of(simd::group_rows(params), params.head_dim);
  return 2 * (columns + params.chunk_size) * params.head_dim + (params.chunk_size + 3) * columns;
}

void joint_chunk_attention_forward(const JointChunkAttentionParams& params, std::int64_t first, std::int64_t last,
                                   float* scratch, SimdLevel level) {
  simd::kernels_of(level).joint_chunk_attention_forward(params, first, last, scratch);
}

void joint_chunk_attention_backward_heads(const JointChunkAttentionParams& params,
                                          const ChunkAttentionGradients& gradients, std::int64_t first,
                                          std::int64_t last, float* scratch, SimdLevel level) {
  simd::kernels_of(level).joint_chunk_attention_backward_heads(params, gradients, first, last, scratch);
}

void joint_chunk_attention_backward_queries(const JointChunkAttentionParams& params,
                                            const ChunkAttentionGradients& gradients, std::int64_t first,
                                            std::int64_t last, float* scratch, SimdLevel level) {
  simd::kernels_of(level).joint_chunk_attention_backward_queries(params, gradients, first, last, scratch);
}

void joint_chunk_attention_backward_chunks(const JointChunkAttentionParams& params,
                                           const ChunkAttentionGradients& gradients, const ChunkReaders& readers,
                                           std::int64_t first, std::int64_t last, float* scratch, SimdLevel level) {
  simd::kernels_of(level).joint_chunk_attention_backward_chunks(params, gradients, readers, first, last, scratch);
}

}  // namespace lookback
