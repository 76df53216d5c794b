// The passes over a tile of scores of sliding-window attention: position bias, mask, softmax.
#pragma once

#include "kernels/cpu/exponential.h"
#include "kernels/cpu/tile_product.h"

namespace lookback::simd {

// Where a tile [keys, queries] of scores stands: query column c and key row r are `distance + c - r` apart.
struct WindowTile {
  std::int64_t rows, columns, depth;
  std::int64_t distance = 0, window_size = 0;
  float slope = 0;       // of the position bias
  bool all_seen = true;  // no mask needed
};

// {0, 1, 2, ...} + from.
template <int Width>
[[gnu::always_inline]] inline Float<Width> count_from(float from) {
  Float<Width> vector;
#pragma GCC unroll 16
  for (int lane = 0; lane < Width; ++lane) vector[lane] = static_cast<float>(lane);
  return vector + from;
}

// score - slope * distance, or -inf where the key is not seen.
template <int Width>
[[gnu::always_inline]] inline Float<Width> biased(Float<Width> score, Float<Width> distance, const WindowTile& tile) {
  score -= tile.slope * distance;
  if (tile.all_seen) return score;
  const Float<Width> outside = splat<Width>(-__builtin_inff());
  return ((distance < 0.0F) | (distance > static_cast<float>(tile.window_size))) ? outside : score;
}

// The running softmax of a block of queries: maxima and sums so far.
struct RunningSoftmax {
  float* maxima;  // [columns], -inf at first
  float* sums;    // [columns], 0 at first
};

// exponentials [rows, columns] = exp(score - maximum) with score = keys [rows, depth] . queries [depth, columns] and
// its bias, maximum over this tile and those before. keep [columns]: what earlier exponentials must be multiplied by.
template <class Level>
[[gnu::noinline]] void window_softmax_tile(WindowTile tile, const float* keys, const float* queries,
                                           RunningSoftmax running, float* exponentials, float* keep) {
  for_each_panel<Level>(tile.columns, [=]<int Width, int Vectors>(std::int64_t column) {
    float* const panel = exponentials + column;
    float* const maxima = running.maxima + column;
    float previous[Vectors * Width];
    for (int i = 0; i < Vectors * Width; ++i) previous[i] = maxima[i];
    panel_product<Width, Vectors>(
        tile.rows, Left<LeftOrder::rows>{keys, tile.depth}, queries + column, tile.columns, tile.depth,
        [=]<int Rows>(std::int64_t row, const Float<Width>(&sums)[Rows][Vectors]) {
          float* to = panel + row * tile.columns;
#pragma GCC unroll 4
          for (int v = 0; v < Vectors; ++v) {
            Float<Width> distance =
                count_from<Width>(static_cast<float>(tile.distance + column + first_lane<Width>(v) - row));
            Float<Width> maximum = load<Width>(maxima + first_lane<Width>(v));
#pragma GCC unroll 8
            for (int r = 0; r < Rows; ++r) {
              const Float<Width> score = biased<Width>(sums[r][v], distance, tile);
              store<Width>(to + r * tile.columns + first_lane<Width>(v), score);
              maximum = larger(maximum, score);
              distance -= 1.0F;
            }
            store<Width>(maxima + first_lane<Width>(v), maximum);
          }
        });
    Float<Width> maximum[Vectors];
    Float<Width> sum[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      maximum[v] = load<Width>(maxima + first_lane<Width>(v));
      const Float<Width> kept = exponential<Width>(load<Width>(previous + first_lane<Width>(v)) - maximum[v]);
      store<Width>(keep + column + first_lane<Width>(v), kept);
      sum[v] = load<Width>(running.sums + column + first_lane<Width>(v)) * kept;
    }
    for (std::int64_t row = 0; row < tile.rows; ++row) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        float* const place = panel + row * tile.columns + first_lane<Width>(v);
        const Float<Width> value = exponential<Width>(load<Width>(place) - maximum[v]);
        store<Width>(place, value);
        sum[v] += value;
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) store<Width>(running.sums + column + first_lane<Width>(v), sum[v]);
  });
}

// probabilities [rows, columns] = exp(score - lse), the scores as above.
template <class Level>
[[gnu::noinline]] void window_probabilities(WindowTile tile, const float* keys, const float* queries, const float* lse,
                                            float* probabilities) {
  for_each_panel<Level>(tile.columns, [=]<int Width, int Vectors>(std::int64_t column) {
    float* const panel = probabilities + column;
    panel_product<Width, Vectors>(tile.rows, Left<LeftOrder::rows>{keys, tile.depth}, queries + column, tile.columns,
                                  tile.depth,
                                  [=]<int Rows>(std::int64_t row, const Float<Width>(&sums)[Rows][Vectors]) {
                                    float* to = panel + row * tile.columns;
#pragma GCC unroll 8
                                    for (int r = 0; r < Rows; ++r, to += tile.columns) store_row<Width>(to, sums[r]);
                                  });
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      const Float<Width> subtracted = load<Width>(lse + column + first_lane<Width>(v));
      Float<Width> distance = count_from<Width>(static_cast<float>(tile.distance + column + first_lane<Width>(v)));
      for (std::int64_t row = 0; row < tile.rows; ++row) {
        float* const place = panel + row * tile.columns + first_lane<Width>(v);
        const Float<Width> score = biased<Width>(load<Width>(place), distance, tile);
        store<Width>(place, exponential<Width>(score - subtracted));
        distance -= 1.0F;
      }
    }
  });
}

// grad_scores [rows, columns] = probabilities * (values [rows, depth] . gradients [depth, columns] - mean_gains).
template <class Level>
[[gnu::noinline]] void window_grad_scores(WindowTile tile, const float* values, const float* gradients,
                                          const float* mean_gains, const float* probabilities, float* grad_scores) {
  for_each_panel<Level>(tile.columns, [=]<int Width, int Vectors>(std::int64_t column) {
    panel_product<Width, Vectors>(
        tile.rows, Left<LeftOrder::rows>{values, tile.depth}, gradients + column, tile.columns, tile.depth,
        [=]<int Rows>(std::int64_t row, const Float<Width>(&sums)[Rows][Vectors]) {
#pragma GCC unroll 4
          for (int v = 0; v < Vectors; ++v) {
            const Float<Width> mean_gain = load<Width>(mean_gains + column + first_lane<Width>(v));
#pragma GCC unroll 8
            for (int r = 0; r < Rows; ++r) {
              const std::int64_t place = (row + r) * tile.columns + column + first_lane<Width>(v);
              store<Width>(grad_scores + place, load<Width>(probabilities + place) * (sums[r][v] - mean_gain));
            }
          }
        });
  });
}

}  // namespace lookback::simd
