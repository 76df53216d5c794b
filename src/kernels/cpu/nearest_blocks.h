// How attention to the nearest positions is cut into tiles: blocks of B queries against blocks of B keys.
#pragma once

#include "kernels/cpu/sequence_row.h"
#include "kernels/cpu/turns.h"
#include "kernels/cpu/vectors.h"
#include "kernels/nearest_attention_params.h"

namespace lookback::simd {

// B: a tile's operands and results fit the second cache.
[[gnu::always_inline]] inline std::int64_t nearest_block(const NearestAttentionParams& p) {
  return p.head_dim <= 128 ? 64 : 32;
}

[[gnu::always_inline]] inline std::int64_t num_nearest_blocks(const NearestAttentionParams& p) {
  return (p.num_queries + nearest_block(p) - 1) / nearest_block(p);
}

// A block of queries of one head of one sequence: positions [first, first + rows); columns: rows in eights.
struct NearestQueries {
  std::int64_t batch, head, first, rows, columns;
};

// Item `item` of forward's.
[[gnu::always_inline]] inline NearestQueries nearest_queries_at(const NearestAttentionParams& p, std::int64_t item) {
  const std::int64_t blocks = num_nearest_blocks(p);
  const std::int64_t first = by_turns(item % blocks, blocks) * nearest_block(p);
  const std::int64_t rows = smaller(nearest_block(p), p.num_queries - first);
  return {item / blocks / p.num_heads, item / blocks % p.num_heads, first, rows, in_eights(rows)};
}

}  // namespace lookback::simd
