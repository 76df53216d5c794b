// Small matrix products, the heart of the attention kernels: [rows, depth] x [depth, columns] with everything in the
// first two caches. A block of rows x vectors of the result stays in registers while the depth passes.
#pragma once

#include "kernels/cpu/vectors.h"

namespace lookback::simd {

// to[0, Vectors * Width) = the vectors.
template <int Width, int Vectors>
[[gnu::always_inline]] inline void store_row(float* to, const Float<Width> (&row)[Vectors]) {
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) store<Width>(to + first_lane<Width>(v), row[v]);
}

// to[0, Vectors * Width) += factor * the vectors.
template <int Width, int Vectors>
[[gnu::always_inline]] inline void add_row(float* to, float factor, const Float<Width> (&row)[Vectors]) {
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v)
    store<Width>(to + first_lane<Width>(v), load<Width>(to + first_lane<Width>(v)) + factor * row[v]);
}

// to[0, Vectors * Width) = keep * what is there + the vectors.
template <int Width, int Vectors>
[[gnu::always_inline]] inline void rescale_add_row(float* to, float keep, const Float<Width> (&row)[Vectors]) {
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v)
    store<Width>(to + first_lane<Width>(v), keep * load<Width>(to + first_lane<Width>(v)) + row[v]);
}

// How the left operand lies: element (row, k) at row * stride + k, or at k * stride + row.
enum class LeftOrder { rows, columns };

template <LeftOrder Order>
struct Left {
  const float* data;
  std::int64_t stride;
  [[gnu::always_inline]] float at(std::int64_t row, std::int64_t k) const {
    return Order == LeftOrder::rows ? data[row * stride + k] : data[k * stride + row];
  }
  [[gnu::always_inline]] Left from_row(std::int64_t row) const {
    return {data + (Order == LeftOrder::rows ? row * stride : row), stride};
  }
};

// sums += the products of depth k. sums: Float<Width> (&)[Rows][Vectors].
template <int Width, int Rows, int Vectors, LeftOrder Order>
[[gnu::always_inline]] inline void add_depth(Left<Order> left, const float* right_row, std::int64_t k,
                                             Float<Width> (&sums)[Rows][Vectors]) {
  Float<Width> right[Vectors];
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) right[v] = load<Width>(right_row + first_lane<Width>(v));
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
    const Float<Width> factor = splat<Width>(left.at(r, k));
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) sums[r][v] += factor * right[v];
  }
}

// Rows x Vectors * Width elements of the product; finish(row, sums) gets them as Float<Width> (&)[Rows][Vectors].
// depth >= 1.
template <int Width, int Rows, int Vectors, LeftOrder Order, class Finish>
[[gnu::always_inline]] inline void block_product(std::int64_t row, Left<Order> left, const float* right,
                                                 std::int64_t right_stride, std::int64_t depth, Finish finish) {
  Float<Width> sums[Rows][Vectors] = {};
  std::int64_t k = 0;
  // Four at a time: so few turns that the processor foresees the last one (64 it does not).
  for (; k + 4 <= depth; k += 4) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      add_depth<Width>(left, right + (k + i) * right_stride, k + i, sums);
      // Loads stay in their step: were they moved together, sums would no longer fit the registers.
      asm volatile("" ::: "memory");
    }
  }
  for (; k < depth; ++k) add_depth<Width>(left, right + k * right_stride, k, sums);
  finish(row, sums);
}

// Six rows: with two vectors of eight floats that is 12 of AVX2's 16 registers, with four vectors of sixteen 24 of
// AVX-512's 32; enough independent sums to hide the latency of a fused multiply-add.
constexpr int block_rows = 6;

// All rows of Vectors * Width columns. finish(row, sums): the block of the product that begins at `row`.
template <int Width, int Vectors, LeftOrder Order, class Finish>
[[gnu::always_inline]] inline void panel_product(std::int64_t rows, Left<Order> left, const float* right,
                                                 std::int64_t right_stride, std::int64_t depth, Finish finish) {
  std::int64_t row = 0;
  for (; row + block_rows <= rows; row += block_rows) {
    block_product<Width, block_rows, Vectors>(row, left.from_row(row), right, right_stride, depth, finish);
  }
  switch (rows - row) {
    case 5:
      return block_product<Width, 5, Vectors>(row, left.from_row(row), right, right_stride, depth, finish);
    case 4:
      return block_product<Width, 4, Vectors>(row, left.from_row(row), right, right_stride, depth, finish);
    case 3:
      return block_product<Width, 3, Vectors>(row, left.from_row(row), right, right_stride, depth, finish);
    case 2:
      return block_product<Width, 2, Vectors>(row, left.from_row(row), right, right_stride, depth, finish);
    case 1:
      return block_product<Width, 1, Vectors>(row, left.from_row(row), right, right_stride, depth, finish);
    default:
      return;
  }
}

// visit.template operator()<Width, Vectors>(first column) for panels that cover `columns`, a multiple of 8.
template <class Level, class Visit>
[[gnu::always_inline]] inline void for_each_panel(std::int64_t columns, Visit visit) {
  constexpr int width = Level::width;
  constexpr std::int64_t panel = first_lane<width>(Level::vectors);
  std::int64_t column = 0;
  for (; column + panel <= columns; column += panel) {
    visit.template operator()<width, Level::vectors>(column);
  }
  // What is left is less than a panel: full vectors, then eights.
  if constexpr (Level::vectors > 2) {
    for (; column + first_lane<width>(2) <= columns; column += first_lane<width>(2))
      visit.template operator()<width, 2>(column);
  }
  for (; column + width <= columns; column += width) visit.template operator()<width, 1>(column);
  if constexpr (width > 8) {
    if (column < columns) visit.template operator()<8, 1>(column);
  }
}

// into[row, column] += factors[row * factor_stride] * (left . right [depth, columns])[row, column].
template <class Level, LeftOrder Order>
[[gnu::noinline]] void add_product(std::int64_t rows, std::int64_t columns, std::int64_t depth, Left<Order> left,
                                   const float* right, const float* factors, std::int64_t factor_stride, float* into,
                                   std::int64_t into_stride) {
  // Lambdas capture by value: through references the compiler would reload what stores might have changed.
  for_each_panel<Level>(columns, [=]<int Width, int Vectors>(std::int64_t column) {
    panel_product<Width, Vectors>(rows, left, right + column, columns, depth,
                                  [=]<int Rows>(std::int64_t row, const Float<Width>(&sums)[Rows][Vectors]) {
                                    const float* factor = factors + row * factor_stride;
                                    float* to = into + row * into_stride + column;
#pragma GCC unroll 8
                                    for (int r = 0; r < Rows; ++r, to += into_stride, factor += factor_stride) {
                                      add_row<Width>(to, *factor, sums[r]);
                                    }
                                  });
  });
}

// into[row, column] = keep[row] * into[row, column] + (left . right [depth, columns])[row, column].
template <class Level, LeftOrder Order>
[[gnu::noinline]] void rescale_add_product(std::int64_t rows, std::int64_t columns, std::int64_t depth,
                                           Left<Order> left, const float* right, const float* keep, float* into,
                                           std::int64_t into_stride) {
  for_each_panel<Level>(columns, [=]<int Width, int Vectors>(std::int64_t column) {
    panel_product<Width, Vectors>(rows, left, right + column, columns, depth,
                                  [=]<int Rows>(std::int64_t row, const Float<Width>(&sums)[Rows][Vectors]) {
                                    float* to = into + row * into_stride + column;
#pragma GCC unroll 8
                                    for (int r = 0; r < Rows; ++r, to += into_stride) {
                                      rescale_add_row<Width>(to, keep[row + r], sums[r]);
                                    }
                                  });
  });
}

}  // namespace lookback::simd
