// One head of a stored chunk as a contiguous float32 tile [S, D].
#pragma once

#include "kernels/cpu/chunk_head_rows.h"
#include "kernels/cpu/pack.h"
#include "kernels/cpu/query_block.h"

namespace lookback::simd {

template <ElementType Type>
[[gnu::always_inline]] inline void pack_head_rows(const HeadRows<Type>& rows, std::int64_t head, std::int64_t num_rows,
                                                  std::int64_t head_dim, float* to) {
  for (std::int64_t row = 0; row < num_rows; ++row, to += head_dim) {
    const auto* const from = rows.data + row * rows.row_stride + head * rows.head_stride;
    const float scale = rows.scale(row, head);
    for (std::int64_t d = 0; d < head_dim; d += 8) {
      const Float<8> elements = load_eight<Type>(from + d);
      store<8>(to + d, Type == ElementType::int8 ? elements * scale : elements);
    }
  }
}

[[gnu::always_inline]] inline void pack_chunk(const ChunkAttentionParams& p, const ChunkRows& rows,
                                              const ChunkItem& item, std::int64_t stored_chunk, float* to) {
  with_element_type(rows.type, [&]<ElementType Type>() {
    pack_head_rows(chunk_head_rows<Type>(p, rows, item.batch, stored_chunk), item.kv_head, p.chunk_size, p.head_dim,
                   to);
  });
}

}  // namespace lookback::simd
