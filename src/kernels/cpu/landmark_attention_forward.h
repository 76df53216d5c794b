// Landmark attention, forward, for one SIMD level.
#pragma once

#include "kernels/cpu/landmark_tile.h"

namespace lookback::simd {

// Of scores [B, columns] of the blocks before the queries', those of far blocks that are not among the query's best K
// become -inf. best [K]: scratch.
template <class Level>
[[gnu::always_inline]] inline void keep_best_landmarks(const LandmarkAttentionParams& p, const LandmarkPart& part,
                                                       float* scores, float* best) {
  const std::int64_t num_far = part.block - (p.window_size + p.block_size - 1) / p.block_size;
  if (p.top_k == 0 || p.top_k >= num_far) return;
  // Of blocks whose scores are equal, the nearer are better: they come first.
  const auto choice = [&](std::int64_t block, std::int64_t column) {
    constexpr float nearness = 1e-4F;
    return scores[block * part.columns + column] - nearness * static_cast<float>(smaller(num_far - 1 - block, p.top_k));
  };
  for (std::int64_t column = 0; column < part.rows; ++column) {
    std::int64_t count = 0;  // of best, falling
    for (std::int64_t block = num_far - 1; block >= 0; --block) {
      const float score = choice(block, column);
      if (count == p.top_k && !(score > best[count - 1])) continue;
      std::int64_t place = count < p.top_k ? count++ : count - 1;
      for (; place > 0 && score > best[place - 1]; --place) best[place] = best[place - 1];
      best[place] = score;
    }
    const float last = best[p.top_k - 1];
    std::int64_t of_last = 1;  // of the best K
    while (of_last < p.top_k && best[p.top_k - 1 - of_last] == last) ++of_last;
    for (std::int64_t block = num_far - 1; block >= 0; --block) {
      const float score = choice(block, column);
      const bool kept = score > last || (score == last && of_last-- > 0);
      if (kept) continue;
      scores[block * part.columns + column] = -__builtin_inff();
      if (p.unread != nullptr) unread_queries(p, part, block)[column] = 1;
    }
  }
}

// Scratch of forward.
struct LandmarkForwardScratch {
  float* queries;       // [D, columns], scaled
  float* keys;          // [P, D]
  float* values;        // [P, D]
  float* exponentials;  // [P, columns]
  float* outputs;       // [rows, D]
  float* landmarks;     // keys [B, D]
  float* weights;       // of earlier blocks [B, columns]
  float* maxima;        // [columns]
  float* sums;          // [columns]
  float* factors;       // [columns]
  float* best;          // [B]
};

[[gnu::always_inline]] inline LandmarkForwardScratch divide_landmark_forward_scratch(const LandmarkAttentionParams& p,
                                                                                     float* scratch) {
  const auto take = [&](std::int64_t count) {
    float* const taken = scratch;
    scratch += count;
    return taken;
  };
  const std::int64_t side = largest_part(p);
  const std::int64_t num_blocks = in_eights(p.num_blocks);
  // Braces evaluate from left to right.
  return {take(p.head_dim * side),
          take(p.block_size * p.head_dim),
          take(p.block_size * p.head_dim),
          take(p.block_size * side),
          take(side * p.head_dim),
          take(num_blocks * p.head_dim),
          take(num_blocks * side),
          take(side),
          take(side),
          take(side),
          take(num_blocks)};
}

// Own block and landmarks: exponentials, weights, maxima and sums.
template <class Level>
[[gnu::always_inline]] inline void own_and_landmark_softmax(const LandmarkAttentionParams& p, const LandmarkPart& part,
                                                            const LandmarkForwardScratch& s) {
  const std::int64_t rows = own_rows(p, part);
  pack_landmark_block(p, p.key, part, part.block, rows, s.keys);
  tile_products<Level>(rows, part.columns, p.head_dim, s.keys, s.queries, s.exponentials);
  fill(s.maxima, part.columns, -__builtin_inff());
  bias_tile<Level>(text_tile(p, part, part.block, rows), s.exponentials, s.maxima);
  fill(s.sums, part.columns, 0);
  if (part.block > 0) {
    const float* const first =
        sequence_row(p.key, part.batch, p.block_size - 1, part.head / (p.num_heads / p.num_kv_heads));
    pack_rows(
        part.block, p.head_dim, [&](std::int64_t row) { return first + row * p.block_size * p.key.row_stride; },
        s.landmarks);
    tile_products<Level>(part.block, part.columns, p.head_dim, s.landmarks, s.queries, s.weights);
    keep_best_landmarks<Level>(p, part, s.weights, s.best);
    bias_tile<Level>(landmarks_tile(p, part, 0, part.block), s.weights, s.maxima);
    exponential_tile<Level>(part.block, part.columns, s.maxima, s.weights, s.sums);
  }
  exponential_tile<Level>(rows, part.columns, s.maxima, s.exponentials, s.sums);
}

template <class Level>
void landmark_forward_part(const LandmarkAttentionParams& p, const LandmarkPart& part,
                           const LandmarkForwardScratch& s) {
  pack_transposed(
      part.rows, part.columns, p.head_dim, p.softmax_scale,
      [&](std::int64_t row) { return sequence_row(p.query, part.batch, part.first + row, part.head); }, s.queries);
  own_and_landmark_softmax<Level>(p, part, s);
  for (std::int64_t row = 0; row < part.rows; ++row) {
    p.softmax_lse[(part.batch * p.num_heads + part.head) * p.num_blocks * p.block_size + part.first + row] =
        s.maxima[row] + __builtin_logf(s.sums[row]);
  }
  for (std::int64_t i = 0; i < part.rows * p.head_dim; i += 8) store<8>(s.outputs + i, Float<8>{});
  fill(s.factors, part.columns, 1);
  pack_landmark_block(p, p.value, part, part.block, own_rows(p, part), s.values);
  add_product<Level>(part.rows, p.head_dim, own_rows(p, part), Left<LeftOrder::columns>{s.exponentials, part.columns},
                     s.values, s.factors, 1, s.outputs, p.head_dim);
  // Each earlier block's softmax shares out what its landmark got.
  for (std::int64_t block = part.block - 1; block >= 0; --block) {
    const float* const weights = s.weights + block * part.columns;
    float largest = 0;
    for (std::int64_t row = 0; row < part.rows; ++row) largest = larger(largest, weights[row]);
    if (largest == 0) continue;
    pack_landmark_block(p, p.key, part, block, p.block_size - 1, s.keys);
    pack_landmark_block(p, p.value, part, block, p.block_size - 1, s.values);
    text_softmax<Level>(p, part, block, s.keys, s.queries, s.exponentials, s.factors, s.maxima);
    for (std::int64_t row = 0; row < part.rows; ++row) s.factors[row] *= weights[row];
    add_product<Level>(part.rows, p.head_dim, p.block_size - 1, Left<LeftOrder::columns>{s.exponentials, part.columns},
                       s.values, s.factors, 1, s.outputs, p.head_dim);
  }
  for (std::int64_t row = 0; row < part.rows; ++row) {
    const std::int64_t position = part.batch * p.num_blocks * p.block_size + part.first + row;
    const float inverse = 1.0F / s.sums[row];
    float* const to = p.output + (position * p.num_heads + part.head) * p.head_dim;
    for (std::int64_t d = 0; d < p.head_dim; d += 8) {
      store<8>(to + d, load<8>(s.outputs + row * p.head_dim + d) * inverse);
    }
  }
}

template <class Level>
void landmark_attention_forward(const LandmarkAttentionParams& p, std::int64_t first, std::int64_t last,
                                float* scratch) {
  const LandmarkForwardScratch s = divide_landmark_forward_scratch(p, scratch);
  for (std::int64_t i = first; i < last; ++i) landmark_forward_part<Level>(p, landmark_part_at(p, i), s);
}

}  // namespace lookback::simd
