// Rotation of the pairs (x[i], x[i + D / 2]) by their position's angles.
#pragma once

#include "kernels/cpu/vectors.h"
#include "kernels/rotary_params.h"

namespace lookback::simd {

template <class Level>
void rotary_rows(const RotaryParams& params, std::int64_t first, std::int64_t last) {
  constexpr int width = Level::width;
  const std::int64_t half = params.head_dim / 2;
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t angles = row % params.num_positions * params.head_dim;
    const float* const cosine = params.cosine + angles;
    const float* const sine = params.sine + angles;
    for (std::int64_t head = 0; head < params.num_heads; ++head) {
      const std::int64_t begin = (row * params.num_heads + head) * params.head_dim;
      const float* const x = params.x + begin;
      float* const output = params.output + begin;
      std::int64_t i = 0;
      for (; i + width <= half; i += width) {
        const Float<width> a = load<width>(x + i);
        const Float<width> b = load<width>(x + half + i);
        const Float<width> c = load<width>(cosine + i);
        const Float<width> s = load<width>(sine + i) * params.direction;
        store<width>(output + i, a * c - b * s);
        store<width>(output + half + i, b * c + a * s);
      }
      for (; i < half; ++i) {
        const float s = sine[i] * params.direction;
        output[i] = x[i] * cosine[i] - x[half + i] * s;
        output[half + i] = x[half + i] * cosine[i] + x[i] * s;
      }
    }
  }
}

}  // namespace lookback::simd
