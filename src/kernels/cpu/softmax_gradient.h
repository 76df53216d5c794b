// The pass between backward's products: from exponentials and gains to probabilities and gradients of the scores.
#pragma once

#include "kernels/cpu/tile_product.h"

namespace lookback::simd {

// In: exponentials [rows, columns] with inverse_sums [columns] of their columns; gains [rows, columns], what each
// probability would gain. Out: the probabilities in place; mean_gains [columns] = sum over rows of probability * gain;
// gains become probability * (gain - mean gain).
template <class Level>
[[gnu::noinline]] void softmax_gradient(std::int64_t rows, std::int64_t columns, const float* inverse_sums,
                                        float* exponentials, float* gains, float* mean_gains) {
  for_each_panel<Level>(columns, [=]<int Width, int Vectors>(std::int64_t column) {
    Float<Width> inverse_sum[Vectors];
    Float<Width> mean_gain[Vectors] = {};
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) inverse_sum[v] = load<Width>(inverse_sums + column + first_lane<Width>(v));
    for (std::int64_t row = 0; row < rows; ++row) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        const std::int64_t place = row * columns + column + first_lane<Width>(v);
        const Float<Width> probability = load<Width>(exponentials + place) * inverse_sum[v];
        store<Width>(exponentials + place, probability);
        mean_gain[v] += probability * load<Width>(gains + place);
      }
    }
    for (std::int64_t row = 0; row < rows; ++row) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        const std::int64_t place = row * columns + column + first_lane<Width>(v);
        const Float<Width> surplus = load<Width>(gains + place) - mean_gain[v];
        store<Width>(gains + place, load<Width>(exponentials + place) * surplus);
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) store<Width>(mean_gains + column + first_lane<Width>(v), mean_gain[v]);
  });
}

}  // namespace lookback::simd
