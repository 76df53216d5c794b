// Attention of a single query position, as in decoding: no product is large enough for tiles, and reading keys and
// values takes the time. All heads pass over the rows together, so that memory is read from front to back.
#pragma once

#include "kernels/cpu/elements.h"
#include "kernels/cpu/exponential.h"

namespace lookback::simd {

// Rows of keys or values; row r of head h begins at data + r * row_stride + h * head_stride.
template <ElementType Type>
struct HeadRows {
  const typename Element<Type>::Stored* data;
  std::int64_t row_stride, head_stride;
  const float* scales;  // int8: scales[r * scale_stride + h]
  std::int64_t scale_stride;

  [[gnu::always_inline]] float scale(std::int64_t row, std::int64_t head) const {
    return Type == ElementType::int8 ? scales[row * scale_stride + head] : 1.0F;
  }
};

// Query heads [first, last), of which `group` share a key head.
struct HeadRange {
  std::int64_t first, last, group, head_dim;
};

// In what follows the scores or weights of head heads.first + i begin at i * in_eights(num_rows).

// scores[i][r] = queries [heads, D][i] . row r of its key head.
template <class Level, ElementType Type>
void row_scores(const HeadRows<Type>& keys, std::int64_t num_rows, const HeadRange& heads, const float* queries,
                float* scores) {
  for (std::int64_t row = 0; row < num_rows; ++row) {
    for (std::int64_t head = heads.first; head < heads.last; ++head) {
      const std::int64_t kv_head = head / heads.group;
      const auto* const key = keys.data + row * keys.row_stride + kv_head * keys.head_stride;
      const float* const query = queries + (head - heads.first) * heads.head_dim;
      Float<8> sum = {};
      for (std::int64_t d = 0; d < heads.head_dim; d += 8) sum += load<8>(query + d) * load_eight<Type>(key + d);
      scores[(head - heads.first) * in_eights(num_rows) + row] = sum_lanes<8>(sum) * keys.scale(row, kv_head);
    }
  }
}

// outputs [heads, D][i] += weights[i][r] * row r of its key head.
template <class Level, ElementType Type>
void add_rows(const HeadRows<Type>& values, std::int64_t num_rows, const HeadRange& heads, const float* weights,
              float* outputs) {
  for (std::int64_t row = 0; row < num_rows; ++row) {
    for (std::int64_t head = heads.first; head < heads.last; ++head) {
      const std::int64_t kv_head = head / heads.group;
      const auto* const value = values.data + row * values.row_stride + kv_head * values.head_stride;
      const float weight = weights[(head - heads.first) * in_eights(num_rows) + row] * values.scale(row, kv_head);
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
