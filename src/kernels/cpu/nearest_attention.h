// Attention to the nearest of the positions before a window, for one SIMD level.
#pragma once

#include "kernels/cpu/exponential.h"
#include "kernels/cpu/nearest_blocks.h"
#include "kernels/cpu/pack.h"
#include "kernels/cpu/softmax_tile.h"

namespace lookback::simd {

// The best K rows of a query so far, as a heap whose root is the worst: of equal scores the row farther back.
struct NearestHeap {
  float* scores;       // [K], -inf where there is no row
  std::int32_t* rows;  // [K], -1 where there is none

  [[gnu::always_inline]] bool worse(std::int64_t a, float score, std::int32_t row) const {
    return scores[a] < score || (scores[a] == score && rows[a] < row);
  }
};

// Puts a row in the place of the worst.
[[gnu::always_inline]] inline void replace_worst(const NearestHeap& heap, std::int64_t count, float score,
                                                 std::int32_t row) {
  std::int64_t place = 0;
  for (std::int64_t child = 1; child < count; child = 2 * place + 1) {
    if (child + 1 < count && heap.worse(child + 1, heap.scores[child], heap.rows[child])) ++child;
    if (!heap.worse(child, score, row)) break;
    heap.scores[place] = heap.scores[child];
    heap.rows[place] = heap.rows[child];
    place = child;
  }
  heap.scores[place] = score;
  heap.rows[place] = row;
}

// Offers the tile's keys, rows [first, first + count), to the queries that may read them. The last comes first: of
// equal ones the nearer is there already.
template <class Level>
[[gnu::noinline]] void offer_tile(const NearestAttentionParams& p, const NearestQueries& queries, std::int64_t first,
                                  std::int64_t count, const float* scores, std::int64_t heap_size, float* best,
                                  std::int32_t* rows) {
  for (std::int64_t i = count - 1; i >= 0; --i) {
    // Query column c sits at key row `own` + c and reads rows own + c - W - M up to own + c - W - 1.
    const std::int64_t distance = first + i - (p.num_past + queries.first);
    std::int64_t begin = distance + p.window_size + 1;
    if (begin < 0) begin = 0;
    const std::int64_t end = smaller(queries.rows, distance + p.window_size + p.memory_size + 1);
    const float* const row = scores + i * queries.columns;
    for (std::int64_t column = begin; column < end; ++column) {
      const NearestHeap heap{best + column * heap_size, rows + column * heap_size};
      if (row[column] > heap.scores[0]) {
        replace_worst(heap, p.top_k, row[column], static_cast<std::int32_t>(first + i));
      }
    }
  }
}

// best [heap_size, -inf behind K] becomes the softmax; all 0 where there is no row.
[[gnu::always_inline]] inline void softmax_of_nearest(std::int64_t heap_size, float* best) {
  float maximum = -__builtin_inff();
  for (std::int64_t k = 0; k < heap_size; ++k) maximum = larger(maximum, best[k]);
  if (maximum == -__builtin_inff()) {
    for (std::int64_t k = 0; k < heap_size; ++k) best[k] = 0;
    return;
  }
  Float<8> sums = {};
  for (std::int64_t k = 0; k < heap_size; k += 8) {
    const Float<8> value = exponential<8>(load<8>(best + k) - maximum);
    store<8>(best + k, value);
    sums += value;
  }
  const float inverse = 1.0F / sum_lanes<8>(sums);
  for (std::int64_t k = 0; k < heap_size; k += 8) store<8>(best + k, load<8>(best + k) * inverse);
}

template <class Level>
void nearest_forward_block(const NearestAttentionParams& p, const NearestQueries& block, float* scratch) {
  const std::int64_t side = nearest_block(p);
  const std::int64_t heap_size = in_eights(p.top_k);
  const std::int64_t kv_head = block.head / (p.num_heads / p.num_kv_heads);
  float* const queries = scratch;                   // [D, columns], scaled
  float* const keys = queries + p.head_dim * side;  // [B, D]
  float* const scores = keys + side * p.head_dim;   // [B, columns]
  float* const best = scores + side * side;         // [columns, heap_size]
  auto* const rows = reinterpret_cast<std::int32_t*>(best + side * heap_size);
  for (std::int64_t i = 0; i < block.rows * heap_size; ++i) {
    best[i] = -__builtin_inff();
    rows[i] = -1;
  }
  pack_transposed(
      block.rows, block.columns, p.head_dim, p.softmax_scale,
      [&](std::int64_t row) { return sequence_row(p.query, block.batch, block.first + row, block.head); }, queries);
  // Rows [begin, end) are read by some of the queries.
  const std::int64_t own = p.num_past + block.first;
  const std::int64_t oldest = own - p.window_size - p.memory_size;
  const std::int64_t begin = oldest < 0 ? 0 : oldest;
  for (std::int64_t end = own + block.rows - 1 - p.window_size; end > begin;) {
    const std::int64_t first = end - side > begin ? end - side : begin;
    pack_rows(
        end - first, p.head_dim,
        [&](std::int64_t row) { return sequence_row(p.key, block.batch, first + row, kv_head); }, keys);
    tile_products<Level>(end - first, block.columns, p.head_dim, keys, queries, scores);
    offer_tile<Level>(p, block, first, end - first, scores, heap_size, best, rows);
    end = first;
  }
  for (std::int64_t row = 0; row < block.rows; ++row) {
    float* const weights = best + row * heap_size;
    const std::int32_t* const chosen = rows + row * heap_size;
    softmax_of_nearest(heap_size, weights);
    const std::int64_t position = block.batch * p.num_queries + block.first + row;
    float* const to = p.output + (position * p.num_heads + block.head) * p.head_dim;
    for (std::int64_t d = 0; d < p.head_dim; d += 8) {
      Float<8> sum = {};
      for (std::int64_t k = 0; k < p.top_k; ++k) {
        if (chosen[k] < 0) continue;
        sum += weights[k] * load<8>(sequence_row(p.value, block.batch, chosen[k], kv_head) + d);
      }
      store<8>(to + d, sum);
    }
    if (p.rows == nullptr) continue;
    const std::int64_t kept = ((block.batch * p.num_heads + block.head) * p.num_queries + block.first + row) * p.top_k;
    for (std::int64_t k = 0; k < p.top_k; ++k) {
      p.rows[kept + k] = chosen[k];
      p.weights[kept + k] = weights[k];
    }
  }
}

template <class Level>
void nearest_attention_forward(const NearestAttentionParams& p, std::int64_t first, std::int64_t last, float* scratch) {
  for (std::int64_t i = first; i < last; ++i) nearest_forward_block<Level>(p, nearest_queries_at(p, i), scratch);
}

// One query's share, with P its weights and G = V dO:   dV = P dO,   dS = P (G - sum P G),   dK = scale dS Q,
// dQ = scale dS K. gains [K]: scratch.
template <class Level>
[[gnu::always_inline]] inline void nearest_backward_query(const NearestAttentionParams& p,
                                                          const NearestAttentionGradients& g, std::int64_t batch,
                                                          std::int64_t head, std::int64_t query, float* gains) {
  const std::int64_t kv_head = head / (p.num_heads / p.num_kv_heads);
  const std::int64_t kept = ((batch * p.num_heads + head) * p.num_queries + query) * p.top_k;
  const std::int32_t* const rows = p.rows + kept;
  const float* const weights = p.weights + kept;
  const float* const gradient = sequence_row(g.grad_output, batch, query, head);
  const float* const of_query = sequence_row(p.query, batch, query, head);
  const auto place = [&](std::int64_t k) {
    const std::int64_t row = batch * (p.num_past + p.num_queries) + rows[k];
    return (row * p.num_kv_heads + kv_head) * p.head_dim;
  };
  float mean_gain = 0;
  for (std::int64_t k = 0; k < p.top_k; ++k) {
    if (rows[k] < 0) continue;
    const float* const value = sequence_row(p.value, batch, rows[k], kv_head);
    float* const grad_value = g.grad_value + place(k);
    Float<8> sum = {};
    for (std::int64_t d = 0; d < p.head_dim; d += 8) {
      const Float<8> given = load<8>(gradient + d);
      sum += load<8>(value + d) * given;
      store<8>(grad_value + d, load<8>(grad_value + d) + weights[k] * given);
    }
    gains[k] = sum_lanes<8>(sum);
    mean_gain += weights[k] * gains[k];
  }
  float* const grad_query = g.grad_query + ((batch * p.num_queries + query) * p.num_heads + head) * p.head_dim;
  for (std::int64_t d = 0; d < p.head_dim; d += 8) store<8>(grad_query + d, Float<8>{});
  for (std::int64_t k = 0; k < p.top_k; ++k) {
    if (rows[k] < 0) continue;
    const float grad_score = p.softmax_scale * weights[k] * (gains[k] - mean_gain);
    const float* const key = sequence_row(p.key, batch, rows[k], kv_head);
    float* const grad_key = g.grad_key + place(k);
    for (std::int64_t d = 0; d < p.head_dim; d += 8) {
      store<8>(grad_query + d, load<8>(grad_query + d) + grad_score * load<8>(key + d));
      store<8>(grad_key + d, load<8>(grad_key + d) + grad_score * load<8>(of_query + d));
    }
  }
}

template <class Level>
void nearest_attention_backward(const NearestAttentionParams& p, const NearestAttentionGradients& g, std::int64_t first,
                                std::int64_t last, float* scratch) {
  const std::int64_t group = p.num_heads / p.num_kv_heads;
  for (std::int64_t i = first; i < last; ++i) {
    for (std::int64_t head = i % p.num_kv_heads * group; head < (i % p.num_kv_heads + 1) * group; ++head) {
      for (std::int64_t query = 0; query < p.num_queries; ++query) {
        nearest_backward_query<Level>(p, g, i / p.num_kv_heads, head, query, scratch);
      }
    }
  }
}

}  // namespace lookback::simd
