#include "kernels/chunk_attention.h"

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/query_block.h"

namespace lookback {
std::int64_t chunk_attention_forward_items(const ChunkAttentionParams& params) {
  return params.batch_size * params.num_kv_heads * params.num_chunks;
}

std::int64_t chunk_attention_forward_scratch(const ChunkAttentionParams& params) {
  const std::int64_t columns = simd::block_rows_of(simd::group_rows(params), params.head_dim);
  return 2 * (columns + params.chunk_size) * params.head_dim + (params.chunk_size + 1) * columns;
}

void chunk_attention_forward(const ChunkAttentionParams& params, std::int64_t first, std::int64_t last, float* scratch,
                             SimdLevel level) {
  simd::kernels_of(level).chunk_attention_forward(params, first, last, scratch);
}

std::int64_t chunk_attention_decode_scratch(const ChunkAttentionParams& params) {
  return params.num_heads * (params.head_dim + simd::in_eights(params.chunk_size));
}

void chunk_attention_decode(const ChunkAttentionParams& params, std::int64_t first, std::int64_t last, float* partials,
                            float* scratch, SimdLevel level) {
  simd::kernels_of(level).chunk_attention_decode(params, first, last, partials, scratch);
}

void chunk_attention_sum_partials(const ChunkAttentionParams& params, std::int64_t first, std::int64_t last,
                                  const float* partials, SimdLevel level) {
  simd::kernels_of(level).chunk_attention_sum_partials(params, first, last, partials);
}

std::int64_t chunk_attention_backward_scratch(const ChunkAttentionParams& params) {
  const std::int64_t columns = simd::block_rows_of(simd::group_rows(params), params.head_dim);
  return (5 * columns + 2 * params.chunk_size) * params.head_dim + 2 * (params.chunk_size + 1) * columns;
}

void chunk_attention_backward_heads(const ChunkAttentionParams& params, const ChunkAttentionGradients& gradients,
                                    std::int64_t first, std::int64_t last, float* scratch, SimdLevel level) {
  simd::kernels_of(level).chunk_attention_backward_heads(params, gradients, first, last, scratch);
}

void chunk_attention_backward_queries(const ChunkAttentionParams& params, const ChunkAttentionGradients& gradients,
                                      std::int64_t first, std::int64_t last, float* scratch, SimdLevel level) {
  simd::kernels_of(level).chunk_attention_backward_queries(params, gradients, first, last, scratch);
}

void chunk_attention_backward_chunks(const ChunkAttentionParams& params, const ChunkAttentionGradients& gradients,
                                     const ChunkReaders& readers, std::int64_t first, std::int64_t last, float* scratch,
                                     SimdLevel level) {
  simd::kernels_of(level).chunk_attention_backward_chunks(params, gradients, readers, first, last, scratch);
}

}  // namespace lookback
