// Sliding-window attention, backward, for one SIMD level.
#pragma once

#include "kernels/cpu/sliding_window_forward.h"

namespace lookback::simd {

// Scratch of backward: a block of queries and a block of keys, each as its products want it.
struct WindowScratch {
  float* queries_transposed;    // [D, columns], scaled
  float* queries;               // [rows, D]
  float* gradients_transposed;  // [D, columns]: gradients of the output
  float* gradients;             // [rows, D]
  float* grad_queries;          // [rows, D]
  float* keys;                  // [B, D]
  float* values;                // [B, D]
  float* probabilities;         // [B, columns]
  float* grad_scores;           // [B, columns]
  float* lse;                   // [columns]
  float* mean_gains;            // [columns]: sum over keys of probability * (dO . v) = dO . output
};

[[gnu::always_inline]] inline WindowScratch divide_window_scratch(const SlidingWindowParams& p, float* scratch) {
  const std::int64_t side = window_block(p);
  const auto take = [&](std::int64_t count) {
    float* const taken = scratch;
    scratch += count;
    return taken;
  };
  const std::int64_t rows = side * p.head_dim;
  // Braces evaluate from left to right.
  return {take(rows), take(rows),        take(rows),        take(rows), take(rows), take(rows),
          take(rows), take(side * side), take(side * side), take(side), take(side)};
}

template <class Level>
void pack_window_queries(const SlidingWindowParams& p, const SlidingWindowGradients& g, const WindowQueries& block,
                         const WindowScratch& s) {
  const auto query = [&](std::int64_t row) {
    return sequence_row(p.query, block.batch, block.first + row, block.head);
  };
  const auto gradient = [&](std::int64_t row) {
    return sequence_row(g.grad_output, block.batch, block.first + row, block.head);
  };
  pack_transposed(block.rows, block.columns, p.head_dim, p.softmax_scale, query, s.queries_transposed);
  pack_transposed(block.rows, block.columns, p.head_dim, 1, gradient, s.gradients_transposed);
  pack_rows(block.rows, p.head_dim, query, s.queries);
  pack_rows(block.rows, p.head_dim, gradient, s.gradients);
  for (std::int64_t column = 0; column < block.columns; ++column) {
    s.lse[column] = 0;
    s.mean_gains[column] = 0;
  }
  for (std::int64_t row = 0; row < block.rows; ++row) {
    const std::int64_t position = block.first + row;
    const float* const output =
        p.output + ((block.batch * p.num_queries + position) * p.num_heads + block.head) * p.head_dim;
    Float<8> sum = {};
    for (std::int64_t d = 0; d < p.head_dim; d += 8) {
      sum += load<8>(output + d) * load<8>(s.gradients + row * p.head_dim + d);
    }
    s.mean_gains[row] = sum_lanes<8>(sum);
    s.lse[row] = p.softmax_lse[(block.batch * p.num_heads + block.head) * p.num_queries + position];
  }
}

// One tile's share. With P the probabilities and gain = dO . output:
//   dV = P^T dO,   dS = P (dO V^T - gain),   dK = scale dS^T Q,   dQ = scale dS K.
template <class Level>
void window_backward_tile(const SlidingWindowParams& p, const SlidingWindowGradients& g, const WindowQueries& block,
                          const WindowKeys& seen, bool want_queries, bool want_keys, const WindowScratch& s) {
  constexpr float one = 1;
  pack_keys(p, p.key, block, seen, s.keys);
  pack_keys(p, p.value, block, seen, s.values);
  const WindowTile tile = window_tile(p, block, seen);
  window_probabilities<Level>(tile, s.keys, s.queries_transposed, s.lse, s.probabilities);
  window_grad_scores<Level>(tile, s.values, s.gradients_transposed, s.mean_gains, s.probabilities, s.grad_scores);
  if (want_keys) {
    const std::int64_t row_stride = p.num_kv_heads * p.head_dim;
    const std::int64_t row = block.batch * (p.num_past + p.num_queries) + seen.first;
    const std::int64_t place = row * row_stride + block.head / (p.num_heads / p.num_kv_heads) * p.head_dim;
    add_product<Level>(seen.rows, p.head_dim, block.rows, Left<LeftOrder::rows>{s.probabilities, block.columns},
                       s.gradients, &one, 0, g.grad_value + place, row_stride);
    add_product<Level>(seen.rows, p.head_dim, block.rows, Left<LeftOrder::rows>{s.grad_scores, block.columns},
                       s.queries, &p.softmax_scale, 0, g.grad_key + place, row_stride);
  }
  if (want_queries) {
    add_product<Level>(block.rows, p.head_dim, seen.rows, Left<LeftOrder::columns>{s.grad_scores, block.columns},
                       s.keys, &p.softmax_scale, 0, s.grad_queries, p.head_dim);
  }
}

// All that one block of queries gives.
template <class Level>
void window_backward_block(const SlidingWindowParams& p, const SlidingWindowGradients& g, const WindowQueries& block,
                           bool want_keys, const WindowScratch& s) {
  pack_window_queries<Level>(p, g, block, s);
  for (std::int64_t i = 0; i < block.rows * p.head_dim; i += 8) store<8>(s.grad_queries + i, Float<8>{});
  for (std::int64_t key_block = num_past_blocks(p) + block.block; key_block >= 0; --key_block) {
    const WindowKeys seen = window_keys(p, block, key_block);
    if (seen.rows <= 0) break;
    window_backward_tile<Level>(p, g, block, seen, true, want_keys, s);
  }
  for (std::int64_t row = 0; row < block.rows; ++row) {
    const std::int64_t position = block.batch * p.num_queries + block.first + row;
    float* const to = g.grad_query + (position * p.num_heads + block.head) * p.head_dim;
    for (std::int64_t d = 0; d < p.head_dim; d += 8) store<8>(to + d, load<8>(s.grad_queries + row * p.head_dim + d));
  }
}

template <class Level>
void sliding_window_backward_heads(const SlidingWindowParams& p, const SlidingWindowGradients& g, std::int64_t first,
                                   std::int64_t last, float* scratch) {
  const WindowScratch s = divide_window_scratch(p, scratch);
  const std::int64_t group = p.num_heads / p.num_kv_heads;
  for (std::int64_t i = first; i < last; ++i) {
    for (std::int64_t head = i % p.num_kv_heads * group; head < (i % p.num_kv_heads + 1) * group; ++head) {
      for (std::int64_t block = 0; block < num_query_blocks(p); ++block) {
        window_backward_block<Level>(p, g, window_queries(p, i / p.num_kv_heads, head, block), true, s);
      }
    }
  }
}

template <class Level>
void sliding_window_backward_queries(const SlidingWindowParams& p, const SlidingWindowGradients& g, std::int64_t first,
                                     std::int64_t last, float* scratch) {
  const WindowScratch s = divide_window_scratch(p, scratch);
  const std::int64_t blocks = num_query_blocks(p);
  for (std::int64_t i = first; i < last; ++i) {
    const std::int64_t head = i / blocks;
    const WindowQueries block = window_queries(p, head / p.num_heads, head % p.num_heads, i % blocks);
    window_backward_block<Level>(p, g, block, false, s);
  }
}

// A block of keys gets its sums in the order in which sliding_window_backward_heads forms them.
template <class Level>
void sliding_window_backward_keys(const SlidingWindowParams& p, const SlidingWindowGradients& g, std::int64_t first,
                                  std::int64_t last, float* scratch) {
  const WindowScratch s = divide_window_scratch(p, scratch);
  const std::int64_t group = p.num_heads / p.num_kv_heads;
  for (std::int64_t i = first; i < last; ++i) {
    const std::int64_t key_block = i % num_key_blocks(p);
    const std::int64_t kv_head = i / num_key_blocks(p) % p.num_kv_heads;
    const std::int64_t batch = i / num_key_blocks(p) / p.num_kv_heads;
    const std::int64_t own = key_block - num_past_blocks(p);
    for (std::int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      for (std::int64_t block = own < 0 ? 0 : own; block < num_query_blocks(p); ++block) {
        const WindowQueries queries = window_queries(p, batch, head, block);
        const WindowKeys seen = window_keys(p, queries, key_block);
        if (seen.rows <= 0) break;
        pack_window_queries<Level>(p, g, queries, s);
        window_backward_tile<Level>(p, g, queries, seen, false, true, s);
      }
    }
  }
}

}  // namespace lookback::simd
