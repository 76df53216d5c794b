// Attention of a single query position, as in decoding: no product is large enough for tiles, and reading keys and
// values takes the time. All heads pass over the rows together, so that memory is read from front to back.
#pragma once

#include "kernels/cpu/exponential.h"
#include "kernels/cpu/head_rows.h"

namespace lookback::simd {

// Query heads [first, last), of which `group` share a key head.
struct HeadRange {
  std::int64_t first, last, group, head_dim;
};

// Asks for the heads' part of a row ahead of its use.
template <ElementType Type>
[[gnu::always_inline]] inline void prefetch_row(const HeadRows<Type>& rows, std::int64_t row, const HeadRange& heads) {
  constexpr std::int64_t line = 64 / sizeof(typename Element<Type>::Stored);
  for (std::int64_t head = heads.first / heads.group; head <= (heads.last - 1) / heads.group; ++head) {
    const auto* const from = rows.data + row * rows.row_stride + head * rows.head_stride;
    for (std::int64_t d = 0; d < heads.head_dim; d += line) __builtin_prefetch(from + d);
  }
}

// A pass over rows, and the rows that the next pass will read (num_rows of them too; null data: none). Memory is asked
// for some KiB ahead: the processor's own prefetching stops at the end of every page, and retrieved chunks begin
// anywhere.
template <ElementType Type>
struct RowPass {
  HeadRows<Type> rows, next;
  std::int64_t num_rows;

  [[gnu::always_inline]] void prefetch_ahead_of(std::int64_t row, const HeadRange& heads) const {
    const std::int64_t ahead = row + rows_ahead(heads);
    if (ahead < num_rows) {
      prefetch_row(rows, ahead, heads);
    } else if (next.data != nullptr && ahead - num_rows < num_rows) {
      prefetch_row(next, ahead - num_rows, heads);
    }
  }

  // For the first pass of all, before which nobody asked.
  [[gnu::always_inline]] void prefetch_beginning(const HeadRange& heads) const {
    for (std::int64_t row = 0; row < smaller(rows_ahead(heads), num_rows); ++row) prefetch_row(rows, row, heads);
  }

 private:
  [[gnu::always_inline]] static std::int64_t rows_ahead(const HeadRange& heads) {
    constexpr std::int64_t bytes_ahead = 8192;
    const std::int64_t row_bytes =
        (heads.last - heads.first) * heads.head_dim * static_cast<std::int64_t>(sizeof(typename Element<Type>::Stored));
    return 1 + bytes_ahead / row_bytes;
  }
};

// In what follows the scores or weights of head heads.first + i begin at i * in_eights(num_rows).

// scores[i][r] = queries [heads, D][i] . row r of its key head.
template <class Level, ElementType Type>
void row_scores(const RowPass<Type>& pass, const HeadRange& heads, const float* queries, float* scores) {
  const HeadRows<Type>& keys = pass.rows;
  for (std::int64_t row = 0; row < pass.num_rows; ++row) {
    pass.prefetch_ahead_of(row, heads);
    for (std::int64_t head = heads.first; head < heads.last; ++head) {
      const std::int64_t kv_head = head / heads.group;
      const auto* const key = keys.data + row * keys.row_stride + kv_head * keys.head_stride;
      const float* const query = queries + (head - heads.first) * heads.head_dim;
      Float<8> sum = {};
      for (std::int64_t d = 0; d < heads.head_dim; d += 8) sum += load<8>(query + d) * load_eight<Type>(key + d);
      float* const head_scores = scores + (head - heads.first) * in_eights(pass.num_rows);
      head_scores[row] = sum_lanes<8>(sum) * keys.scale(row, kv_head);
    }
  }
}

// outputs [heads, D][i] += weights[i][r] * row r of its key head.
template <class Level, ElementType Type>
void add_rows(const RowPass<Type>& pass, const HeadRange& heads, const float* weights, float* outputs) {
  const HeadRows<Type>& values = pass.rows;
  for (std::int64_t row = 0; row < pass.num_rows; ++row) {
    pass.prefetch_ahead_of(row, heads);
    for (std::int64_t head = heads.first; head < heads.last; ++head) {
      const std::int64_t kv_head = head / heads.group;
      const auto* const value = values.data + row * values.row_stride + kv_head * values.head_stride;
      const float weight = weights[(head - heads.first) * in_eights(pass.num_rows) + row] * values.scale(row, kv_head);
      float* const output = outputs + (head - heads.first) * heads.head_dim;
      for (std::int64_t d = 0; d < heads.head_dim; d += 8) {
        store<8>(output + d, load<8>(output + d) + weight * load_eight<Type>(value + d));
      }
    }
  }
}

// One head's scores become factor * softmax. plus_one: one more score, 0, takes part in maximum and sum. Returns the
// log of the sum of exp(score).
[[gnu::always_inline]] inline float softmax_row(std::int64_t num_rows, bool plus_one, float factor, float* scores) {
  for (std::int64_t row = num_rows; row < in_eights(num_rows); ++row) scores[row] = -__builtin_inff();
  float maximum = plus_one ? 0.0F : -__builtin_inff();
  for (std::int64_t row = 0; row < num_rows; ++row) maximum = larger(maximum, scores[row]);
  Float<8> sums = {};
  for (std::int64_t row = 0; row < num_rows; row += 8) {
    const Float<8> value = exponential<8>(load<8>(scores + row) - maximum);
    store<8>(scores + row, value);
    sums += value;
  }
  float sum = sum_lanes<8>(sums);
  if (plus_one) sum += exponential<8>(splat<8>(-maximum))[0];
  const float scale = factor / sum;
  for (std::int64_t row = 0; row < num_rows; row += 8) store<8>(scores + row, load<8>(scores + row) * scale);
  return maximum + __builtin_logf(sum);
}

}  // namespace lookback::simd
