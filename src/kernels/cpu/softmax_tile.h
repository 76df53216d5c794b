// Scores of a tile of keys against a tile of queries, and their softmax over the keys. Keys are rows and queries are
// columns, so that maxima and sums over keys are taken lane by lane.
#pragma once

#include "kernels/cpu/exponential.h"
#include "kernels/cpu/tile_product.h"

namespace lookback::simd {

// products [rows, columns] = left [rows, depth] . right [depth, columns].
template <class Level>
[[gnu::noinline]] void tile_products(std::int64_t rows, std::int64_t columns, std::int64_t depth, const float* left,
                                     const float* right, float* products) {
  for_each_panel<Level>(columns, [=]<int Width, int Vectors>(std::int64_t column) {
    panel_product<Width, Vectors>(rows, Left<LeftOrder::rows>{left, depth}, right + column, columns, depth,
                                  [=]<int Rows>(std::int64_t row, const Float<Width>(&sums)[Rows][Vectors]) {
                                    float* to = products + row * columns + column;
#pragma GCC unroll 8
                                    for (int r = 0; r < Rows; ++r, to += columns) store_row<Width>(to, sums[r]);
                                  });
  });
}

// panel [rows, Vectors * Width] (rows `stride` apart) becomes exp(panel - maxima); inverse_sums = 1 / their sums over
// the rows, with exp(0 - maxima) added for plus_one.
template <int Width, int Vectors>
[[gnu::always_inline]] inline void exponential_panel(std::int64_t rows, std::int64_t stride, const float* maxima,
                                                     bool plus_one, float* panel, float* inverse_sums) {
  Float<Width> maximum[Vectors];
  Float<Width> sum[Vectors];
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) {
    maximum[v] = load<Width>(maxima + first_lane<Width>(v));
    sum[v] = plus_one ? exponential<Width>(-maximum[v]) : Float<Width>{};
  }
  for (std::int64_t row = 0; row < rows; ++row, panel += stride) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      const Float<Width> value = exponential<Width>(load<Width>(panel + first_lane<Width>(v)) - maximum[v]);
      store<Width>(panel + first_lane<Width>(v), value);
      sum[v] += value;
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) store<Width>(inverse_sums + first_lane<Width>(v), 1.0F / sum[v]);
}

// exponentials [rows, columns] = exp(scores - maximum) and inverse_sums [columns] = 1 / their sums over the rows, with
// scores = keys [rows, depth] . queries [depth, columns]. plus_one: one more score, 0, takes part in maximum and sum.
template <class Level>
[[gnu::noinline]] void softmax_tile(std::int64_t rows, std::int64_t columns, std::int64_t depth, const float* keys,
                                    const float* queries, bool plus_one, float* exponentials, float* inverse_sums) {
  for_each_panel<Level>(columns, [=]<int Width, int Vectors>(std::int64_t column) {
    float* const panel = exponentials + column;
    // In memory, not in registers: those are all taken while a block is summed.
    float maximum_row[Vectors * Width];
    float* const maxima = maximum_row;
    for (int i = 0; i < Vectors * Width; ++i) maxima[i] = plus_one ? 0.0F : -__builtin_inff();
    panel_product<Width, Vectors>(rows, Left<LeftOrder::rows>{keys, depth}, queries + column, columns, depth,
                                  [=]<int Rows>(std::int64_t row, const Float<Width>(&sums)[Rows][Vectors]) {
                                    float* to = panel + row * columns;
#pragma GCC unroll 8
                                    for (int r = 0; r < Rows; ++r, to += columns) store_row<Width>(to, sums[r]);
#pragma GCC unroll 4
                                    for (int v = 0; v < Vectors; ++v) {
                                      Float<Width> maximum = load<Width>(maxima + first_lane<Width>(v));
#pragma GCC unroll 8
                                      for (int r = 0; r < Rows; ++r) maximum = larger(maximum, sums[r][v]);
                                      store<Width>(maxima + first_lane<Width>(v), maximum);
                                    }
                                  });
    exponential_panel<Width, Vectors>(rows, columns, maxima, plus_one, panel, inverse_sums + column);
  });
}

}  // namespace lookback::simd
