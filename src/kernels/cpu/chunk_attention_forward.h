// Chunk attention, forward, for one SIMD level.
#pragma once

#include "kernels/cpu/pack_chunk.h"
#include "kernels/cpu/query_block.h"
#include "kernels/cpu/softmax_tile.h"

namespace lookback::simd {

template <class Level>
void attend_block(const ChunkAttentionParams& p, const ChunkItem& item, const QueryBlock& block, float* scratch) {
  const std::int64_t columns = block.columns;
  float* const queries = scratch;                                  // [D, columns], scaled
  float* const keys = queries + p.head_dim * columns;              // [S, D]
  float* const values = keys + p.chunk_size * p.head_dim;          // [S, D]
  float* const exponentials = values + p.chunk_size * p.head_dim;  // [S, columns]
  float* const outputs = exponentials + p.chunk_size * columns;    // [rows, D]
  float* const factors = outputs + columns * p.head_dim;           // [columns]
  pack_transposed(
      block.rows, columns, p.head_dim, p.softmax_scale,
      [&](std::int64_t row) { return query_row(p, p.query, item, block.first + row); }, queries);
  for (std::int64_t i = 0; i < block.rows * p.head_dim; i += 8) store<8>(outputs + i, Float<8>{});
  const std::int64_t* const indices = p.indices + (item.batch * p.num_chunks + item.chunk) * p.top_k;
  const float* const weights = p.weights + (item.batch * p.num_chunks + item.chunk) * p.top_k;
  for (std::int64_t k = 0; k < p.top_k; ++k) {
    if (indices[k] < 0) continue;
    pack_chunk(p, p.key, item, indices[k], keys);
    pack_chunk(p, p.value, item, indices[k], values);
    softmax_tile<Level>(p.chunk_size, columns, p.head_dim, keys, queries, p.softmax_plus_one, exponentials, factors);
    for (std::int64_t row = 0; row < block.rows; ++row) factors[row] *= weights[k];
    add_product<Level>(block.rows, p.head_dim, p.chunk_size, Left<LeftOrder::columns>{exponentials, columns}, values,
                       factors, 1, outputs, p.head_dim);
  }
  for (std::int64_t row = 0; row < block.rows; ++row) {
    float* const to = contiguous_row(p, p.output, item, block.first + row);
    for (std::int64_t d = 0; d < p.head_dim; d += 8) store<8>(to + d, load<8>(outputs + row * p.head_dim + d));
  }
}

template <class Level>
void chunk_attention_forward(const ChunkAttentionParams& p, std::int64_t first, std::int64_t last, float* scratch) {
  for (std::int64_t i = first; i < last; ++i) {
    const ChunkItem item = item_at(i, p.num_kv_heads, p.num_chunks);
    for_each_query_block(p, [&](const QueryBlock& block) { attend_block<Level>(p, item, block, scratch); });
  }
}

}  // namespace lookback::simd
