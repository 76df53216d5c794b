// How sliding-window attention is cut into tiles: blocks of B queries against blocks of B keys.
#pragma once

#include "kernels/cpu/sequence_row.h"
#include "kernels/cpu/vectors.h"
#include "kernels/sliding_window_params.h"

namespace lookback::simd {

// B: a tile's operands and results fit the second cache.
[[gnu::always_inline]] inline std::int64_t window_block(const SlidingWindowParams& p) {
  return p.head_dim <= 128 ? 64 : 32;
}

[[gnu::always_inline]] inline std::int64_t num_query_blocks(const SlidingWindowParams& p) {
  return (p.num_queries + window_block(p) - 1) / window_block(p);
}

// Blocks of keys that hold only rows before the first query's; the first may begin before row 0.
[[gnu::always_inline]] inline std::int64_t num_past_blocks(const SlidingWindowParams& p) {
  return (p.num_past + window_block(p) - 1) / window_block(p);
}

[[gnu::always_inline]] inline std::int64_t num_key_blocks(const SlidingWindowParams& p) {
  return num_past_blocks(p) + num_query_blocks(p);
}

// A block of queries of one head of one sequence: positions [first, first + rows); columns: rows in eights.
struct WindowQueries {
  std::int64_t batch, head, block, first, rows, columns;
};

[[gnu::always_inline]] inline WindowQueries window_queries(const SlidingWindowParams& p, std::int64_t batch,
                                                           std::int64_t head, std::int64_t block) {
  const std::int64_t first = block * window_block(p);
  const std::int64_t rows = smaller(window_block(p), p.num_queries - first);
  return {batch, head, block, first, rows, in_eights(rows)};
}

// The keys of block `block` that some of the queries see: rows [first, first + rows), none when rows <= 0.
struct WindowKeys {
  std::int64_t first, rows;
};

[[gnu::always_inline]] inline WindowKeys window_keys(const SlidingWindowParams& p, const WindowQueries& queries,
                                                     std::int64_t block) {
  const std::int64_t begin = p.num_past + (block - num_past_blocks(p)) * window_block(p);
  const std::int64_t end = smaller(begin + window_block(p), p.num_past + queries.first + queries.rows);
  std::int64_t first = begin < 0 ? 0 : begin;
  const std::int64_t oldest = p.num_past + queries.first - p.window_size;
  if (first < oldest) first = oldest;
  return {first, end - first};
}

// Distance from key row 0 of a tile to query row 0.
[[gnu::always_inline]] inline std::int64_t tile_distance(const SlidingWindowParams& p, const WindowQueries& queries,
                                                         const WindowKeys& keys) {
  return p.num_past + queries.first - keys.first;
}

// Whether all of the tile's queries see all of its keys.
[[gnu::always_inline]] inline bool all_seen(const SlidingWindowParams& p, const WindowQueries& queries,
                                            const WindowKeys& keys) {
  const std::int64_t distance = tile_distance(p, queries, keys);
  return distance - (keys.rows - 1) >= 0 && distance + queries.rows - 1 <= p.window_size;
}

// m_h of a head. Where there is no bias it is 0, which is subtracted as any other: no pass over scores branches.
[[gnu::always_inline]] inline float bias_slope(const SlidingWindowParams& p, std::int64_t head) {
  if (p.position_bias == PositionBias::none) return 0;
  return static_cast<float>(__builtin_exp2(-8.0 * static_cast<double>(head + 1) / static_cast<double>(p.num_heads)));
}

}  // namespace lookback::simd
