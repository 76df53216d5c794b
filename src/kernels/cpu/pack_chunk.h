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

}  // namespace lookback::simd
