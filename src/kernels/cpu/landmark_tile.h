// The passes over a tile of scores of landmark attention: position bias, mask, softmax.
#pragma once

#include "kernels/cpu/landmark_blocks.h"
#include "kernels/cpu/pack.h"
#include "kernels/cpu/softmax_tile.h"
#include "kernels/cpu/window_tile.h"

namespace lookback::simd {

// The first num_rows rows of a block's keys or values, as the queries' head reads them.
[[gnu::always_inline]] inline void pack_landmark_block(const LandmarkAttentionParams& p, const SequenceRows& rows,
                                                       const LandmarkPart& part, std::int64_t key_block,
                                                       std::int64_t num_rows, float* to) {
  const float* const from =
      sequence_row(rows, part.batch, key_block * p.block_size, part.head / (p.num_heads / p.num_kv_heads));
  pack_rows(num_rows, p.head_dim, [&](std::int64_t row) { return from + row * rows.row_stride; }, to);
}

// Where a tile [keys, queries] of scores stands: query column c and key row r are distance + c - r * row_step apart.
struct LandmarkTile {
  std::int64_t rows, columns;
  std::int64_t distance, row_step;
  float window_size, slope;
};

// Of the text of block `key_block`, or of the queries' own.
[[gnu::always_inline]] inline LandmarkTile text_tile(const LandmarkAttentionParams& p, const LandmarkPart& part,
                                                     std::int64_t key_block, std::int64_t rows) {
  return {rows,
          part.columns,
          part.first - key_block * p.block_size,
          1,
          static_cast<float>(p.window_size),
          landmark_slope(p, part.head)};
}

// Of the landmarks of `rows` blocks from `key_block` on.
[[gnu::always_inline]] inline LandmarkTile landmarks_tile(const LandmarkAttentionParams& p, const LandmarkPart& part,
                                                          std::int64_t key_block, std::int64_t rows) {
  LandmarkTile tile = text_tile(p, part, key_block, rows);
  tile.distance -= p.block_size - 1;
  tile.row_step = p.block_size;
  return tile;
}

// scores [rows, columns] lose slope * min(distance, W), and become -inf where the key comes after the query; maxima
// [columns] grow with them.
template <class Level>
[[gnu::noinline]] void bias_tile(LandmarkTile tile, float* scores, float* maxima) {
  for_each_panel<Level>(tile.columns, [=]<int Width, int Vectors>(std::int64_t column) {
    const Float<Width> window_size = splat<Width>(tile.window_size);
    const Float<Width> hidden = splat<Width>(-__builtin_inff());
    const auto step = static_cast<float>(tile.row_step);
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      const std::int64_t lane = column + first_lane<Width>(v);
      Float<Width> distance = count_from<Width>(static_cast<float>(tile.distance + lane));
      Float<Width> maximum = load<Width>(maxima + lane);
      for (std::int64_t row = 0; row < tile.rows; ++row, distance -= step) {
        float* const place = scores + row * tile.columns + lane;
        const Float<Width> biased = load<Width>(place) - tile.slope * (distance < window_size ? distance : window_size);
        const Float<Width> score = distance < 0.0F ? hidden : biased;
        store<Width>(place, score);
        maximum = larger(maximum, score);
      }
      store<Width>(maxima + lane, maximum);
    }
  });
}

// scores [rows, columns] become exp(score - subtracted [columns]); sums [columns] grow by them.
template <class Level>
[[gnu::noinline]] void exponential_tile(std::int64_t rows, std::int64_t columns, const float* subtracted, float* scores,
                                        float* sums) {
  for_each_panel<Level>(columns, [=]<int Width, int Vectors>(std::int64_t column) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      const std::int64_t lane = column + first_lane<Width>(v);
      const Float<Width> less = load<Width>(subtracted + lane);
      Float<Width> sum = load<Width>(sums + lane);
      for (std::int64_t row = 0; row < rows; ++row) {
        float* const place = scores + row * columns + lane;
        const Float<Width> value = exponential<Width>(load<Width>(place) - less);
        store<Width>(place, value);
        sum += value;
      }
      store<Width>(sums + lane, sum);
    }
  });
}

[[gnu::always_inline]] inline void fill(float* row, std::int64_t columns, float value) {
  for (std::int64_t column = 0; column < columns; ++column) row[column] = value;
}

// exponentials [S, columns] of the text of an earlier block, packed in `keys`, and inverse_sums [columns] = 1 / their
// sums. maxima [columns]: scratch.
template <class Level>
[[gnu::always_inline]] inline void text_softmax(const LandmarkAttentionParams& p, const LandmarkPart& part,
                                                std::int64_t key_block, const float* keys, const float* queries,
                                                float* exponentials, float* inverse_sums, float* maxima) {
  const std::int64_t text_size = p.block_size - 1;
  // A bias that all of a block has alike changes nothing of its softmax.
  if (beyond_window(p, part, key_block)) {
    softmax_tile<Level>(text_size, part.columns, p.head_dim, keys, queries, false, exponentials, inverse_sums);
    return;
  }
  tile_products<Level>(text_size, part.columns, p.head_dim, keys, queries, exponentials);
  fill(maxima, part.columns, -__builtin_inff());
  bias_tile<Level>(text_tile(p, part, key_block, text_size), exponentials, maxima);
  fill(inverse_sums, part.columns, 0);
  exponential_tile<Level>(text_size, part.columns, maxima, exponentials, inverse_sums);
  for (std::int64_t column = 0; column < part.columns; ++column) inverse_sums[column] = 1.0F / inverse_sums[column];
}

}  // namespace lookback::simd
