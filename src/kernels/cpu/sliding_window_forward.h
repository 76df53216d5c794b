// Sliding-window attention, forward, for one SIMD level.
#pragma once

#include "kernels/cpu/pack.h"
#include "kernels/cpu/window_blocks.h"
#include "kernels/cpu/window_tile.h"

namespace lookback::simd {

[[gnu::always_inline]] inline WindowTile window_tile(const SlidingWindowParams& p, const WindowQueries& queries,
                                                     const WindowKeys& keys) {
  return {.rows = keys.rows,
          .columns = queries.columns,
          .depth = p.head_dim,
          .distance = tile_distance(p, queries, keys),
          .window_size = p.window_size,
          .slope = alibi_slope(p, queries.head),
          .all_seen = all_seen(p, queries, keys)};
}

[[gnu::always_inline]] inline void pack_keys(const SlidingWindowParams& p, const SequenceRows& rows,
                                             const WindowQueries& queries, const WindowKeys& keys, float* to) {
  const float* const from =
      sequence_row(rows, queries.batch, keys.first, queries.head / (p.num_heads / p.num_kv_heads));
  pack_rows(keys.rows, p.head_dim, [&](std::int64_t row) { return from + row * rows.row_stride; }, to);
}

template <class Level>
void window_forward_block(const SlidingWindowParams& p, const WindowQueries& block, float* scratch) {
  const std::int64_t side = window_block(p);
  float* const queries = scratch;                     // [D, columns], scaled
  float* const keys = queries + p.head_dim * side;    // [B, D]
  float* const values = keys + side * p.head_dim;     // [B, D]
  float* const outputs = values + side * p.head_dim;  // [rows, D]
  float* const tile = outputs + side * p.head_dim;    // [B, columns]
  float* const keep = tile + side * side;             // [columns]
  const RunningSoftmax running{keep + side, keep + 2 * side};
  pack_transposed(
      block.rows, block.columns, p.head_dim, p.softmax_scale,
      [&](std::int64_t row) { return sequence_row(p.query, block.batch, block.first + row, block.head); }, queries);
  for (std::int64_t i = 0; i < block.rows * p.head_dim; i += 8) store<8>(outputs + i, Float<8>{});
  for (std::int64_t column = 0; column < block.columns; ++column) {
    running.maxima[column] = -__builtin_inff();
    running.sums[column] = 0;
  }
  // From the queries' own block back: each query sees itself, so that its maximum is finite from the first tile on.
  for (std::int64_t key_block = num_past_blocks(p) + block.block; key_block >= 0; --key_block) {
    const WindowKeys seen = window_keys(p, block, key_block);
    if (seen.rows <= 0) break;
    pack_keys(p, p.key, block, seen, keys);
    pack_keys(p, p.value, block, seen, values);
    window_softmax_tile<Level>(window_tile(p, block, seen), keys, queries, running, tile, keep);
    rescale_add_product<Level>(block.rows, p.head_dim, seen.rows, Left<LeftOrder::columns>{tile, block.columns}, values,
                               keep, outputs, p.head_dim);
  }
  for (std::int64_t row = 0; row < block.rows; ++row) {
    const std::int64_t position = block.first + row;
    const float inverse = 1.0F / running.sums[row];
    float* const to = p.output + ((block.batch * p.num_queries + position) * p.num_heads + block.head) * p.head_dim;
    for (std::int64_t d = 0; d < p.head_dim; d += 8) {
      store<8>(to + d, load<8>(outputs + row * p.head_dim + d) * inverse);
    }
    p.softmax_lse[(block.batch * p.num_heads + block.head) * p.num_queries + position] =
        running.maxima[row] + __builtin_logf(running.sums[row]);
  }
}

template <class Level>
void sliding_window_forward(const SlidingWindowParams& p, std::int64_t first, std::int64_t last, float* scratch) {
  const std::int64_t blocks = num_query_blocks(p);
  for (std::int64_t i = first; i < last; ++i) {
    const std::int64_t head = i / blocks;
    window_forward_block<Level>(p, window_queries(p, head / p.num_heads, head % p.num_heads, i % blocks), scratch);
  }
}

}  // namespace lookback::simd
