// RMSNorm's two directions over rows.
#pragma once

#include <cmath>

#include "kernels/cpu/vectors.h"
#include "kernels/rms_norm_params.h"

namespace lookback::simd {

// Sum over i of a[i] b[i] c[i].
template <int Width>
[[gnu::always_inline]] inline float sum_of_products(const float* a, const float* b, const float* c,
                                                    std::int64_t count) {
  constexpr std::int64_t two_vectors = std::int64_t{2} * Width;
  Float<Width> sums[2] = {};
  std::int64_t i = 0;
  for (; i + two_vectors <= count; i += two_vectors) {
    sums[0] += load<Width>(a + i) * load<Width>(b + i) * load<Width>(c + i);
    sums[1] += load<Width>(a + i + Width) * load<Width>(b + i + Width) * load<Width>(c + i + Width);
  }
  float sum = sum_lanes<Width>(sums[0] + sums[1]);
  for (; i < count; ++i) sum += a[i] * b[i] * c[i];
  return sum;
}

// Sum over i of a[i]^2.
template <int Width>
[[gnu::always_inline]] inline float sum_of_squares(const float* a, std::int64_t count) {
  constexpr std::int64_t two_vectors = std::int64_t{2} * Width;
  Float<Width> sums[2] = {};
  std::int64_t i = 0;
  for (; i + two_vectors <= count; i += two_vectors) {
    sums[0] += load<Width>(a + i) * load<Width>(a + i);
    sums[1] += load<Width>(a + i + Width) * load<Width>(a + i + Width);
  }
  float sum = sum_lanes<Width>(sums[0] + sums[1]);
  for (; i < count; ++i) sum += a[i] * a[i];
  return sum;
}

template <class Level>
void rms_norm_forward(const RmsNormParams& params, std::int64_t first_row, std::int64_t last_row) {
  constexpr int width = Level::width;
  for (std::int64_t row = first_row; row < last_row; ++row) {
    const float* const x = params.x + row * params.size;
    float* const output = params.output + row * params.size;
    const float mean = sum_of_squares<width>(x, params.size) / static_cast<float>(params.size);
    const float rstd = 1 / std::sqrt(mean + params.eps);
    params.rstd[row] = rstd;
    std::int64_t i = 0;
    for (; i + width <= params.size; i += width) {
      store<width>(output + i, load<width>(x + i) * rstd * load<width>(params.weight + i));
    }
    for (; i < params.size; ++i) output[i] = x[i] * rstd * params.weight[i];
  }
}

// With n = x rstd: d loss / d x = rstd (g w - n mean(g w n)), d loss / d weight = sum over rows of g n.
template <class Level>
void rms_norm_backward(const RmsNormParams& params, const RmsNormGradients& gradients, std::int64_t first_block,
                       std::int64_t last_block) {
  constexpr int width = Level::width;
  const std::int64_t size = params.size;
  for (std::int64_t block = first_block; block < last_block; ++block) {
    float* const grad_weight = gradients.grad_weight + block * size;
    for (std::int64_t i = 0; i < size; ++i) grad_weight[i] = 0;
    const std::int64_t end = smaller((block + 1) * rms_norm_block_rows, params.num_rows);
    for (std::int64_t row = block * rms_norm_block_rows; row < end; ++row) {
      const float* const x = params.x + row * size;
      const float* const grad_output = gradients.grad_output + row * size;
      float* const grad_x = gradients.grad_x + row * size;
      const float rstd = params.rstd[row];
      const float along =
          sum_of_products<width>(grad_output, params.weight, x, size) * rstd * rstd * rstd / static_cast<float>(size);
      std::int64_t i = 0;
      for (; i + width <= size; i += width) {
        const Float<width> gradient = load<width>(grad_output + i) * rstd;
        const Float<width> position = load<width>(x + i);
        store<width>(grad_x + i, gradient * load<width>(params.weight + i) - position * along);
        store<width>(grad_weight + i, load<width>(grad_weight + i) + gradient * position);
      }
      for (; i < size; ++i) {
        grad_x[i] = grad_output[i] * rstd * params.weight[i] - x[i] * along;
        grad_weight[i] += grad_output[i] * rstd * x[i];
      }
    }
  }
}

}  // namespace lookback::simd
