// Landmark attention, backward, for one SIMD level.
#pragma once

#include "kernels/cpu/landmark_tile.h"

namespace lookback::simd {

// Scratch of backward: queries and a block of keys, each as its products want it.
struct LandmarkScratch {
  float* queries_transposed;    // [D, columns], scaled
  float* queries;               // [rows, D]
  float* gradients_transposed;  // [D, columns]: gradients of the output
  float* gradients;             // [rows, D]
  float* grad_queries;          // [rows, D]
  float* keys;                  // [P, D]
  float* values;                // [P, D]
  float* probabilities;         // [P, columns]
  float* grad_scores;           // [P, columns]
  float* lse;                   // [columns]
  float* mean_gains;            // [columns]: dO . output
  float* weights;               // [columns]: of the block
  float* inverse_sums;          // [columns]
  float* maxima;                // [columns]
  float* unused_sums;           // [columns]
};

[[gnu::always_inline]] inline LandmarkScratch divide_landmark_scratch(const LandmarkAttentionParams& p,
                                                                      float* scratch) {
  const auto take = [&](std::int64_t count) {
    float* const taken = scratch;
    scratch += count;
    return taken;
  };
  const std::int64_t side = largest_part(p);
  const std::int64_t of_queries = side * p.head_dim;
  const std::int64_t of_keys = p.block_size * p.head_dim;
  const std::int64_t tile = p.block_size * side;
  // Braces evaluate from left to right.
  return {take(of_queries), take(of_queries), take(of_queries), take(of_queries), take(of_queries),
          take(of_keys),    take(of_keys),    take(tile),       take(tile),       take(side),
          take(side),       take(side),       take(side),       take(side),       take(side)};
}

[[gnu::always_inline]] inline void pack_landmark_part(const LandmarkAttentionParams& p,
                                                      const LandmarkAttentionGradients& g, const LandmarkPart& part,
                                                      const LandmarkScratch& s) {
  const auto query = [&](std::int64_t row) { return sequence_row(p.query, part.batch, part.first + row, part.head); };
  const auto gradient = [&](std::int64_t row) {
    return sequence_row(g.grad_output, part.batch, part.first + row, part.head);
  };
  pack_transposed(part.rows, part.columns, p.head_dim, p.softmax_scale, query, s.queries_transposed);
  pack_transposed(part.rows, part.columns, p.head_dim, 1, gradient, s.gradients_transposed);
  pack_rows(part.rows, p.head_dim, query, s.queries);
  pack_rows(part.rows, p.head_dim, gradient, s.gradients);
  fill(s.lse, part.columns, 0);
  fill(s.mean_gains, part.columns, 0);
  const std::int64_t length = p.num_blocks * p.block_size;
  for (std::int64_t row = 0; row < part.rows; ++row) {
    const std::int64_t position = part.first + row;
    const float* const output = p.output + ((part.batch * length + position) * p.num_heads + part.head) * p.head_dim;
    Float<8> sum = {};
    for (std::int64_t d = 0; d < p.head_dim; d += 8) {
      sum += load<8>(output + d) * load<8>(s.gradients + row * p.head_dim + d);
    }
    s.mean_gains[row] = sum_lanes<8>(sum);
    s.lse[row] = p.softmax_lse[(part.batch * p.num_heads + part.head) * length + position];
  }
}

// In: exponentials [S, columns] with inverse_sums of their columns; gains [S, columns], what each probability would
// gain. Out, with w the block's weights and m the gains' mean by the probabilities: w * probability in place, gains
// become w * probability * (gain - m), and row S of them the landmark's w * (m - mean_gain).
template <class Level>
[[gnu::noinline]] void grouped_softmax_gradient(std::int64_t text_size, std::int64_t columns, const float* inverse_sums,
                                                const float* weights, const float* mean_gains, float* exponentials,
                                                float* gains) {
  for_each_panel<Level>(columns, [=]<int Width, int Vectors>(std::int64_t column) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      const std::int64_t lane = column + first_lane<Width>(v);
      const Float<Width> inverse_sum = load<Width>(inverse_sums + lane);
      const Float<Width> weight = load<Width>(weights + lane);
      Float<Width> block_gain = {};
      for (std::int64_t row = 0; row < text_size; ++row) {
        const std::int64_t place = row * columns + lane;
        block_gain += load<Width>(exponentials + place) * load<Width>(gains + place);
      }
      block_gain *= inverse_sum;
      const Float<Width> share = weight * inverse_sum;
      for (std::int64_t row = 0; row < text_size; ++row) {
        const std::int64_t place = row * columns + lane;
        const Float<Width> probability = load<Width>(exponentials + place) * share;
        store<Width>(exponentials + place, probability);
        store<Width>(gains + place, probability * (load<Width>(gains + place) - block_gain));
      }
      store<Width>(gains + text_size * columns + lane, weight * (block_gain - load<Width>(mean_gains + lane)));
    }
  });
}

// Adds what a tile gives: probabilities [value_rows, columns] and grad_scores [key_rows, columns] are ready.
template <class Level>
[[gnu::always_inline]] inline void add_landmark_gradients(const LandmarkAttentionParams& p,
                                                          const LandmarkAttentionGradients& g, const LandmarkPart& part,
                                                          std::int64_t key_block, std::int64_t value_rows,
                                                          std::int64_t key_rows, bool want_queries, bool want_keys,
                                                          const LandmarkScratch& s) {
  constexpr float one = 1;
  if (want_keys) {
    const std::int64_t row_stride = p.num_kv_heads * p.head_dim;
    const std::int64_t row = (part.batch * p.num_blocks + key_block) * p.block_size;
    const std::int64_t place = row * row_stride + part.head / (p.num_heads / p.num_kv_heads) * p.head_dim;
    add_product<Level>(value_rows, p.head_dim, part.rows, Left<LeftOrder::rows>{s.probabilities, part.columns},
                       s.gradients, &one, 0, g.grad_value + place, row_stride);
    add_product<Level>(key_rows, p.head_dim, part.rows, Left<LeftOrder::rows>{s.grad_scores, part.columns}, s.queries,
                       &p.softmax_scale, 0, g.grad_key + place, row_stride);
  }
  if (want_queries) {
    add_product<Level>(part.rows, p.head_dim, key_rows, Left<LeftOrder::columns>{s.grad_scores, part.columns}, s.keys,
                       &p.softmax_scale, 0, s.grad_queries, p.head_dim);
  }
}

// The queries' own block: with P the probabilities, dS = P (V dO^T - dO . output).
template <class Level>
void landmark_backward_own(const LandmarkAttentionParams& p, const LandmarkAttentionGradients& g,
                           const LandmarkPart& part, bool want_queries, bool want_keys, const LandmarkScratch& s) {
  const std::int64_t rows = own_rows(p, part);
  pack_landmark_block(p, p.key, part, part.block, rows, s.keys);
  pack_landmark_block(p, p.value, part, part.block, rows, s.values);
  tile_products<Level>(rows, part.columns, p.head_dim, s.keys, s.queries_transposed, s.probabilities);
  fill(s.maxima, part.columns, 0);
  bias_tile<Level>(text_tile(p, part, part.block, rows), s.probabilities, s.maxima);
  fill(s.unused_sums, part.columns, 0);
  exponential_tile<Level>(rows, part.columns, s.lse, s.probabilities, s.unused_sums);
  window_grad_scores<Level>({.rows = rows, .columns = part.columns, .depth = p.head_dim}, s.values,
                            s.gradients_transposed, s.mean_gains, s.probabilities, s.grad_scores);
  add_landmark_gradients<Level>(p, g, part, part.block, rows, rows, want_queries, want_keys, s);
}

// An earlier block: with w its landmark's weight, P the softmax over its text, G = V dO^T and m = sum P G,
//   dV = w P dO,   dS = w P (G - m) of the text,   w (m - dO . output) of the landmark.
template <class Level>
void landmark_backward_earlier(const LandmarkAttentionParams& p, const LandmarkAttentionGradients& g,
                               const LandmarkPart& part, std::int64_t key_block, bool want_queries, bool want_keys,
                               const LandmarkScratch& s) {
  const std::int64_t text_size = p.block_size - 1;
  pack_landmark_block(p, p.key, part, key_block, p.block_size, s.keys);
  pack_landmark_block(p, p.value, part, key_block, text_size, s.values);
  tile_products<Level>(1, part.columns, p.head_dim, s.keys + text_size * p.head_dim, s.queries_transposed, s.weights);
  fill(s.maxima, part.columns, 0);
  bias_tile<Level>(landmarks_tile(p, part, key_block, 1), s.weights, s.maxima);
  fill(s.unused_sums, part.columns, 0);
  exponential_tile<Level>(1, part.columns, s.lse, s.weights, s.unused_sums);
  for (std::int64_t row = 0; p.unread != nullptr && row < part.rows; ++row) {
    if (unread_queries(p, part, key_block)[row] != 0) s.weights[row] = 0;
  }
  text_softmax<Level>(p, part, key_block, s.keys, s.queries_transposed, s.probabilities, s.inverse_sums, s.maxima);
  tile_products<Level>(text_size, part.columns, p.head_dim, s.values, s.gradients_transposed, s.grad_scores);
  grouped_softmax_gradient<Level>(text_size, part.columns, s.inverse_sums, s.weights, s.mean_gains, s.probabilities,
                                  s.grad_scores);
  add_landmark_gradients<Level>(p, g, part, key_block, text_size, p.block_size, want_queries, want_keys, s);
}

// All that some queries give.
template <class Level>
void landmark_backward_part(const LandmarkAttentionParams& p, const LandmarkAttentionGradients& g,
                            const LandmarkPart& part, bool want_keys, const LandmarkScratch& s) {
  pack_landmark_part(p, g, part, s);
  for (std::int64_t i = 0; i < part.rows * p.head_dim; i += 8) store<8>(s.grad_queries + i, Float<8>{});
  landmark_backward_own<Level>(p, g, part, true, want_keys, s);
  for (std::int64_t block = part.block - 1; block >= 0; --block) {
    landmark_backward_earlier<Level>(p, g, part, block, true, want_keys, s);
  }
  for (std::int64_t row = 0; row < part.rows; ++row) {
    const std::int64_t position = part.batch * p.num_blocks * p.block_size + part.first + row;
    float* const to = g.grad_query + (position * p.num_heads + part.head) * p.head_dim;
    for (std::int64_t d = 0; d < p.head_dim; d += 8) store<8>(to + d, load<8>(s.grad_queries + row * p.head_dim + d));
  }
}

template <class Level>
void landmark_attention_backward_heads(const LandmarkAttentionParams& p, const LandmarkAttentionGradients& g,
                                       std::int64_t first, std::int64_t last, float* scratch) {
  const LandmarkScratch s = divide_landmark_scratch(p, scratch);
  const std::int64_t group = p.num_heads / p.num_kv_heads;
  for (std::int64_t i = first; i < last; ++i) {
    for (std::int64_t head = i % p.num_kv_heads * group; head < (i % p.num_kv_heads + 1) * group; ++head) {
      for (std::int64_t part = 0; part < p.num_blocks * parts_of_block(p); ++part) {
        landmark_backward_part<Level>(
            p, g, landmark_part(p, i / p.num_kv_heads, head, part / parts_of_block(p), part % parts_of_block(p)), true,
            s);
      }
    }
  }
}

template <class Level>
void landmark_attention_backward_queries(const LandmarkAttentionParams& p, const LandmarkAttentionGradients& g,
                                         std::int64_t first, std::int64_t last, float* scratch) {
  const LandmarkScratch s = divide_landmark_scratch(p, scratch);
  for (std::int64_t i = first; i < last; ++i) landmark_backward_part<Level>(p, g, landmark_part_at(p, i), false, s);
}

// A block of keys gets its sums in the order in which landmark_attention_backward_heads forms them.
template <class Level>
void landmark_attention_backward_keys(const LandmarkAttentionParams& p, const LandmarkAttentionGradients& g,
                                      std::int64_t first, std::int64_t last, float* scratch) {
  const LandmarkScratch s = divide_landmark_scratch(p, scratch);
  const std::int64_t group = p.num_heads / p.num_kv_heads;
  for (std::int64_t i = first; i < last; ++i) {
    const std::int64_t key_block = by_turns(i % p.num_blocks, p.num_blocks);
    const std::int64_t kv_head = i / p.num_blocks % p.num_kv_heads;
    const std::int64_t batch = i / p.num_blocks / p.num_kv_heads;
    for (std::int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      for (std::int64_t block = key_block; block < p.num_blocks; ++block) {
        for (std::int64_t i_part = 0; i_part < parts_of_block(p); ++i_part) {
          const LandmarkPart part = landmark_part(p, batch, head, block, i_part);
          pack_landmark_part(p, g, part, s);
          if (block == key_block) {
            landmark_backward_own<Level>(p, g, part, false, true, s);
          } else {
            landmark_backward_earlier<Level>(p, g, part, key_block, false, true, s);
          }
        }
      }
    }
  }
}

}  // namespace lookback::simd
