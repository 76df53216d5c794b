// silu(gate) * up and its gradients, element by element.
#pragma once

#include "kernels/cpu/exponential.h"
#include "kernels/cpu/vectors.h"
#include "kernels/silu_and_mul_params.h"

namespace lookback::simd {

// 1 / (1 + exp(-x)), from exp(-|x|), which cannot overflow.
template <int Width>
[[gnu::always_inline]] inline Float<Width> sigmoid(Float<Width> x) {
  const Float<Width> vanishing = exponential<Width>(x < 0 ? x : -x);
  return (x < 0 ? vanishing : splat<Width>(1)) / (vanishing + 1.0F);
}

template <int Width>
[[gnu::always_inline]] inline void silu_and_mul_vector(const float* gate, const float* up, float* output) {
  const Float<Width> x = load<Width>(gate);
  store<Width>(output, x * sigmoid<Width>(x) * load<Width>(up));
}

// silu'(x) = s (1 + x (1 - s)) with s = sigmoid(x).
template <int Width>
[[gnu::always_inline]] inline void silu_and_mul_gradients(const float* gate, const float* up, const float* grad_output,
                                                          float* grad_gate, float* grad_up) {
  const Float<Width> x = load<Width>(gate);
  const Float<Width> gradient = load<Width>(grad_output);
  const Float<Width> s = sigmoid<Width>(x);
  store<Width>(grad_gate, gradient * load<Width>(up) * s * (x * (1.0F - s) + 1.0F));
  store<Width>(grad_up, gradient * x * s);
}

template <class Level>
void silu_and_mul_forward(const SiluAndMulParams& params, float* output, std::int64_t first, std::int64_t last) {
  constexpr int width = Level::width;
  std::int64_t i = first;
  for (; i + width <= last; i += width) silu_and_mul_vector<width>(params.gate + i, params.up + i, output + i);
  if (i == last) return;
  float rest[3][width] = {};
  const auto bytes = static_cast<std::size_t>(last - i) * sizeof(float);
  __builtin_memcpy(rest[0], params.gate + i, bytes);
  __builtin_memcpy(rest[1], params.up + i, bytes);
  silu_and_mul_vector<width>(rest[0], rest[1], rest[2]);
  __builtin_memcpy(output + i, rest[2], bytes);
}

template <class Level>
void silu_and_mul_backward(const SiluAndMulParams& params, const SiluAndMulGradients& gradients, std::int64_t first,
                           std::int64_t last) {
  constexpr int width = Level::width;
  std::int64_t i = first;
  for (; i + width <= last; i += width) {
    silu_and_mul_gradients<width>(params.gate + i, params.up + i, gradients.grad_output + i, gradients.grad_gate + i,
                                  gradients.grad_up + i);
  }
  if (i == last) return;
  float rest[5][width] = {};
  const auto bytes = static_cast<std::size_t>(last - i) * sizeof(float);
  __builtin_memcpy(rest[0], params.gate + i, bytes);
  __builtin_memcpy(rest[1], params.up + i, bytes);
  __builtin_memcpy(rest[2], gradients.grad_output + i, bytes);
  silu_and_mul_gradients<width>(rest[0], rest[1], rest[2], rest[3], rest[4]);
  __builtin_memcpy(gradients.grad_gate + i, rest[3], bytes);
  __builtin_memcpy(gradients.grad_up + i, rest[4], bytes);
}

}  // namespace lookback::simd
