// The rows of one stored chunk.
#pragma once

#include "kernels/chunk_attention_params.h"
#include "kernels/cpu/head_rows.h"

namespace lookback::simd {

template <ElementType Type>
[[gnu::always_inline]] inline HeadRows<Type> chunk_head_rows(const ChunkAttentionParams& p, const ChunkRows& rows,
                                                             std::int64_t batch, std::int64_t stored_chunk) {
  return {static_cast<const typename Element<Type>::Stored*>(rows.data) + batch * rows.batch_stride +
              stored_chunk * rows.chunk_stride,
          rows.row_stride, rows.head_stride,
          rows.scales == nullptr
              ? nullptr
              : rows.scales + (batch * p.stored_chunks + stored_chunk) * p.chunk_size * p.num_kv_heads,
          p.num_kv_heads};
}

}  // namespace lookback::simd
