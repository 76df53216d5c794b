// Where rows of queries lie. A key head serves R = H / Hkv query heads, so a chunk of queries is R * P rows against
// the same keys; they are taken in blocks that fit the second cache.
#pragma once

#include "kernels/chunk_attention_params.h"
#include "kernels/cpu/vectors.h"

namespace lookback::simd {

// Rows [first, first + rows) of R * P; columns: as many, rounded up to a multiple of 8.
struct QueryBlock {
  std::int64_t first, rows, columns;
};

// Wide heads make a tile's other sides narrower: at 128 floats a row, 64 rows of queries, outputs and their gradients
// are what 512 KiB hold beside a chunk's keys and values.
[[gnu::always_inline]] inline std::int64_t largest_block_rows(std::int64_t head_dim) {
  return head_dim <= 64 ? 128 : 64;
}

// Rows of each block but the last, blocks being as equal as multiples of 8 allow.
[[gnu::always_inline]] inline std::int64_t block_rows_of(std::int64_t rows, std::int64_t head_dim) {
  const std::int64_t largest = largest_block_rows(head_dim);
  const std::int64_t num_blocks = (rows + largest - 1) / largest;
  return in_eights((rows + num_blocks - 1) / num_blocks);
}

[[gnu::always_inline]] inline std::int64_t group_rows(const ChunkAttentionParams& p) {
  return p.num_heads / p.num_kv_heads * p.chunk_positions;
}

template <class Visit>
[[gnu::always_inline]] inline void for_each_query_block(const ChunkAttentionParams& p, Visit visit) {
  const std::int64_t rows = group_rows(p);
  const std::int64_t step = block_rows_of(rows, p.head_dim);
  for (std::int64_t first = 0; first < rows; first += step) {
    const std::int64_t count = smaller(step, rows - first);
    visit(QueryBlock{first, count, in_eights(count)});
  }
}

// A work item: a chunk of queries and a key head.
struct ChunkItem {
  std::int64_t batch, chunk, kv_head;
};

// Items in the order (n, chunk, key head): the heads of a chunk lie on the same pages of memory.
[[gnu::always_inline]] inline ChunkItem item_at(std::int64_t item, std::int64_t num_kv_heads, std::int64_t num_chunks) {
  return {item / (num_kv_heads * num_chunks), item / num_kv_heads % num_chunks, item % num_kv_heads};
}

// Row `row` of the item's R * P in a tensor [N, C, P, H, D].
[[gnu::always_inline]] inline const float* query_row(const ChunkAttentionParams& p, const QueryRows& rows,
                                                     const ChunkItem& item, std::int64_t row) {
  const std::int64_t head = item.kv_head * (p.num_heads / p.num_kv_heads) + row / p.chunk_positions;
  return rows.data + item.batch * rows.batch_stride + item.chunk * rows.chunk_stride +
         row % p.chunk_positions * rows.position_stride + head * rows.head_stride;
}

// The same row's place in [N, C, P, H].
[[gnu::always_inline]] inline std::int64_t contiguous_row_index(const ChunkAttentionParams& p, const ChunkItem& item,
                                                                std::int64_t row) {
  const std::int64_t head = item.kv_head * (p.num_heads / p.num_kv_heads) + row / p.chunk_positions;
  const std::int64_t position = (item.batch * p.num_chunks + item.chunk) * p.chunk_positions + row % p.chunk_positions;
  return position * p.num_heads + head;
}

// The same row of a contiguous tensor.
[[gnu::always_inline]] inline float* contiguous_row(const ChunkAttentionParams& p, float* data, const ChunkItem& item,
                                                    std::int64_t row) {
  return data + contiguous_row_index(p, item, row) * p.head_dim;
}

}  // namespace lookback::simd
