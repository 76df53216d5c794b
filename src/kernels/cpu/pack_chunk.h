// One head of a stored chunk as a contiguous float32 tile [S, D].
#pragma once

#include "kernels/cpu/pack.h"
#include "kernels/cpu/query_block.h"

namespace lookback::simd {

[[gnu::always_inline]] inline void pack_chunk(const ChunkAttentionParams& p, const ChunkRows& rows,
                                              const ChunkItem& item, std::int64_t stored_chunk, float* to) {
  const float* const from = static_cast<const float*>(rows.data) + item.batch * rows.batch_stride +
                            stored_chunk * rows.chunk_stride + item.kv_head * rows.head_stride;
  pack_rows(p.chunk_size, p.head_dim, [&](std::int64_t row) { return from + row * rows.row_stride; }, to);
}

// Asks for a head's rows of a stored chunk ahead of their use: chunks are retrieved from anywhere, so the processor
// cannot foresee them.
[[gnu::always_inline]] inline void prefetch_chunk(const ChunkAttentionParams& p, const ChunkRows& rows,
                                                  const ChunkItem& item, std::int64_t stored_chunk) {
  constexpr std::int64_t line = 16;  // floats
  const float* const from = static_cast<const float*>(rows.data) + item.batch * rows.batch_stride +
                            stored_chunk * rows.chunk_stride + item.kv_head * rows.head_stride;
  for (std::int64_t row = 0; row < p.chunk_size; ++row) {
    for (std::int64_t d = 0; d < p.head_dim; d += line) __builtin_prefetch(from + row * rows.row_stride + d, 0, 2);
  }
}

// The stored chunk that follows read k of the item's chunk in the indices, or -1.
[[gnu::always_inline]] inline std::int64_t next_stored_chunk(const ChunkAttentionParams& p, const ChunkItem& item,
                                                             std::int64_t k) {
  const std::int64_t next = item.chunk * p.top_k + k + 1;
  return next < p.num_chunks * p.top_k ? p.indices[item.batch * p.num_chunks * p.top_k + next] : -1;
}

}  // namespace lookback::simd
