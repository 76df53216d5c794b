// Copies into a tile's own memory: rows lie far apart in tensors, often at strides that share few cache sets.
#pragma once

#include "kernels/chunk_attention_params.h"
#include "kernels/cpu/vectors.h"

namespace lookback::simd {

// Eight rows of eight, transposed: to[k * to_stride + row] = factor * rows[row][k].
[[gnu::always_inline]] inline void transpose_eight(const float* const (&rows)[8], std::int64_t k, float factor,
                                                   float* to, std::int64_t to_stride) {
  Float<8> a[8];
  Float<8> b[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) a[i] = load<8>(rows[i] + k) * factor;
  // Pairs of rows within halves of a vector, pairs of pairs, then the halves.
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    b[i] = __builtin_shufflevector(a[i], a[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    b[i + 1] = __builtin_shufflevector(a[i], a[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    a[i] = __builtin_shufflevector(b[i], b[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    a[i + 1] = __builtin_shufflevector(b[i], b[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    a[i + 2] = __builtin_shufflevector(b[i + 1], b[i + 3], 0, 1, 8, 9, 4, 5, 12, 13);
    a[i + 3] = __builtin_shufflevector(b[i + 1], b[i + 3], 2, 3, 10, 11, 6, 7, 14, 15);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    store<8>(to + i * to_stride, __builtin_shufflevector(a[i], a[i + 4], 0, 1, 2, 3, 8, 9, 10, 11));
    store<8>(to + (i + 4) * to_stride, __builtin_shufflevector(a[i], a[i + 4], 4, 5, 6, 7, 12, 13, 14, 15));
  }
}

// to [depth, columns] = factor * the transposed rows; row_at(row) for row < rows, further columns become 0. depth and
// columns are multiples of 8.
template <class RowAt>
[[gnu::always_inline]] inline void pack_transposed(std::int64_t rows, std::int64_t columns, std::int64_t depth,
                                                   float factor, RowAt row_at, float* to) {
  for (std::int64_t column = 0; column < columns; column += 8) {
    // Past the last row any row serves; it is cleared below.
    const float* eight[8];
    for (std::int64_t i = 0; i < 8; ++i) eight[i] = row_at(smaller(column + i, rows - 1));
    for (std::int64_t k = 0; k < depth; k += 8) transpose_eight(eight, k, factor, to + k * columns + column, columns);
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    for (std::int64_t column = rows; column < columns; ++column) to[k * columns + column] = 0;
  }
}

// to [rows, depth] contiguous; row_at(row) points to the row's first element.
template <class RowAt>
[[gnu::always_inline]] inline void pack_rows(std::int64_t rows, std::int64_t depth, RowAt row_at, float* to) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* const from = row_at(row);
    for (std::int64_t k = 0; k < depth; k += 8) store<8>(to + row * depth + k, load<8>(from + k));
  }
}

}  // namespace lookback::simd
