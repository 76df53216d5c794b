// Cross-entropy of a row in three passes over it: the largest logit, exponentials and their sum, the gradient.
#pragma once

#include <cmath>

#include "kernels/cpu/exponential.h"
#include "kernels/cpu/vectors.h"
#include "kernels/cross_entropy_params.h"

namespace lookback::simd {

template <int Width>
[[gnu::always_inline]] inline float largest_of_row(const float* row, std::int64_t count) {
  float largest = row[0];
  std::int64_t i = 0;
  if (count >= Width) {
    Float<Width> lanes = load<Width>(row);
    for (i = Width; i + Width <= count; i += Width) lanes = larger(lanes, load<Width>(row + i));
    for (int lane = 0; lane < Width; ++lane) largest = lanes[lane] > largest ? lanes[lane] : largest;
  }
  for (; i < count; ++i) largest = row[i] > largest ? row[i] : largest;
  return largest;
}

// row[i] = exp(row[i] - largest); returns their sum.
template <int Width>
[[gnu::always_inline]] inline float exponentials_of_row(float* row, std::int64_t count, float largest) {
  Float<Width> sums = {};
  std::int64_t i = 0;
  for (; i + Width <= count; i += Width) {
    const Float<Width> power = exponential<Width>(load<Width>(row + i) - largest);
    store<Width>(row + i, power);
    sums += power;
  }
  float sum = sum_lanes<Width>(sums);
  for (; i < count; ++i) {
    row[i] = exponential<Width>(splat<Width>(row[i] - largest))[0];
    sum += row[i];
  }
  return sum;
}

template <class Level>
void cross_entropy_rows(const CrossEntropyParams& params, std::int64_t first, std::int64_t last) {
  constexpr int width = Level::width;
  const std::int64_t num_classes = params.num_classes;
  for (std::int64_t r = first; r < last; ++r) {
    float* const row = params.logits + r * num_classes;
    const std::int64_t label = params.labels[r];
    if (label < 0) {
      params.losses[r] = 0;
      if (params.factors != nullptr) __builtin_memset(row, 0, static_cast<std::size_t>(num_classes) * sizeof(float));
      continue;
    }
    const float of_label = row[label];
    const float largest = largest_of_row<width>(row, num_classes);
    const float sum = exponentials_of_row<width>(row, num_classes, largest);
    params.losses[r] = std::log(sum) - (of_label - largest);
    if (params.factors == nullptr) continue;
    const float factor = params.factors[r];
    const float scale = factor / sum;
    std::int64_t i = 0;
    for (; i + width <= num_classes; i += width) store<width>(row + i, load<width>(row + i) * scale);
    for (; i < num_classes; ++i) row[i] *= scale;
    row[label] -= factor;
  }
}

}  // namespace lookback::simd
