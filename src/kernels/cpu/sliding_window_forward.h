// Sliding-window attention, forward, for one SIMD level.
#pragma once

#include "kernels/cpu/pack.h"
#include "kernels/cpu/row_attention.h"
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
          .slope = bias_slope(p, queries.head),
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

// Heads [head, head + num_heads) of a single query position (decoding).
template <class Level>
void window_decode(const SlidingWindowParams& p, std::int64_t batch, std::int64_t head, std::int64_t num_heads,
                   float* scratch) {
  const HeadRange heads{head, head + num_heads, p.num_heads / p.num_kv_heads, p.head_dim};
  const std::int64_t first = p.num_past > p.window_size ? p.num_past - p.window_size : 0;
  const std::int64_t num_rows = p.num_past + 1 - first;
  float* const queries = scratch;                          // [heads, D], scaled
  float* const scores = queries + num_heads * p.head_dim;  // [heads, rows in eights]
  float* const outputs = p.output + (batch * p.num_heads + head) * p.head_dim;
  for (std::int64_t i = 0; i < num_heads; ++i) {
    const float* const query = sequence_row(p.query, batch, 0, head + i);
    for (std::int64_t d = 0; d < p.head_dim; d += 8) {
      store<8>(queries + i * p.head_dim + d, load<8>(query + d) * p.softmax_scale);
      store<8>(outputs + i * p.head_dim + d, Float<8>{});
    }
  }
  const auto rows_of = [&](const SequenceRows& rows) {
    return HeadRows<ElementType::float32>{sequence_row(rows, batch, first, 0), rows.row_stride, rows.head_stride,
                                          nullptr, 0};
  };
  const RowPass<ElementType::float32> keys{rows_of(p.key), rows_of(p.value), num_rows};
  const RowPass<ElementType::float32> values{rows_of(p.value), {}, num_rows};
  keys.prefetch_beginning(heads);
  row_scores<Level>(keys, heads, queries, scores);
  for (std::int64_t i = 0; i < num_heads; ++i) {
    float* const row_of_scores = scores + i * in_eights(num_rows);
    const float slope = bias_slope(p, head + i);
    for (std::int64_t row = 0; row < num_rows; ++row) {
      row_of_scores[row] -= slope * static_cast<float>(num_rows - 1 - row);
    }
    p.softmax_lse[batch * p.num_heads + head + i] = softmax_row(num_rows, false, 1, row_of_scores);
  }
  add_rows<Level>(values, heads, scores, outputs);
}

template <class Level>
void sliding_window_forward(const SlidingWindowParams& p, std::int64_t first, std::int64_t last, float* scratch) {
  if (p.num_queries == 1) {
    for (std::int64_t i = first, together = 0; i < last; i += together) {
      together = smaller(last - i, p.num_heads - i % p.num_heads);
      window_decode<Level>(p, i / p.num_heads, i % p.num_heads, together, scratch);
    }
    return;
  }
  const std::int64_t blocks = num_query_blocks(p);
  for (std::int64_t i = first; i < last; ++i) {
    const std::int64_t head = i / blocks;
    window_forward_block<Level>(p, window_queries(p, head / p.num_heads, head % p.num_heads, i % blocks), scratch);
  }
}

}  // namespace lookback::simd
