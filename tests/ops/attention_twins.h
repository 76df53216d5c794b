// Attention as the formulas say, in plain tensor operations that autograd differentiates: the operators' twins.
#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <cstdint>

#include "kernels/position_bias.h"

namespace lookback {

// [N, T, Hkv, D] -> [N, H, T, D].
inline at::Tensor heads_first(const at::Tensor& x, std::int64_t num_heads) {
  return x.repeat_interleave(num_heads / x.size(2), 2).transpose(1, 2);
}

// query [N, H, L, D] . key [N, H, T, D] after turning both by rotary positions, as complex numbers: one is turned
// against the other by their distance [L, T]. theta 0: not turned.
inline at::Tensor plain_products(const at::Tensor& query, const at::Tensor& key, const at::Tensor& distance,
                                 double theta) {
  if (theta == 0) return at::matmul(query, key.transpose(-1, -2));
  const std::int64_t half = query.size(3) / 2;
  const auto numbers = [half](const at::Tensor& x) {
    return at::complex(x.narrow(3, 0, half), x.narrow(3, half, half));
  };
  at::Tensor sum = at::zeros({}, query.options().requires_grad(false));
  for (std::int64_t i = 0; i < half; ++i) {
    const at::Tensor angle = distance * std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(2 * half));
    const at::Tensor pairs =
        numbers(query).select(3, i).unsqueeze(3) * numbers(key).select(3, i).unsqueeze(2).conj();  // [N, H, L, T]
    sum = sum + at::real(pairs * at::polar(at::ones_like(angle), angle));
  }
  return sum;
}

inline at::Tensor plain_sliding_window_attention(const at::Tensor& query, const at::Tensor& key,
                                                 const at::Tensor& value, std::int64_t window, PositionBias bias,
                                                 double rope_theta = 0) {
  const std::int64_t length = query.size(1);
  const std::int64_t past = key.size(1) - length;
  const std::int64_t num_heads = query.size(2);
  const at::TensorOptions options = query.options().requires_grad(false);
  const at::Tensor distance = (at::arange(length, options) + past).unsqueeze(1) - at::arange(key.size(1), options);
  at::Tensor scores = plain_products(heads_first(query, num_heads), heads_first(key, num_heads), distance, rope_theta) /
                      std::sqrt(static_cast<double>(query.size(3)));
  if (bias == PositionBias::alibi) {
    const at::Tensor slopes = at::pow(2.0, at::arange(1, num_heads + 1, options) * (-8.0 / num_heads));
    scores = scores - slopes.view({-1, 1, 1}) * distance;
  }
  scores = scores.masked_fill(distance.lt(0).logical_or(distance.gt(window)), -INFINITY);
  return at::matmul(at::softmax(scores, -1), heads_first(value, num_heads)).transpose(1, 2);
}

// docs/model.md, 7, chunk by chunk.
inline at::Tensor plain_chunk_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                        const at::Tensor& indices, const at::Tensor& weights, double scale,
                                        bool plus_one) {
  std::vector<at::Tensor> sequences;
  for (std::int64_t n = 0; n < query.size(0); ++n) {
    std::vector<at::Tensor> chunks;
    for (std::int64_t c = 0; c < query.size(1); ++c) {
      at::Tensor sum = at::zeros_like(query[n][c]);  // [P, H, D]
      for (std::int64_t k = 0; k < indices.size(2); ++k) {
        const auto chunk = indices[n][c][k].item<std::int64_t>();
        if (chunk < 0) continue;
        const at::Tensor keys = heads_first(key[n][chunk].unsqueeze(0), query.size(3))[0];          // [H, S, D]
        const at::Tensor values = heads_first(value[n][chunk].unsqueeze(0), query.size(3))[0];      // [H, S, D]
        at::Tensor scores = at::matmul(query[n][c].transpose(0, 1), keys.transpose(1, 2)) * scale;  // [H, P, S]
        if (plus_one) scores = at::constant_pad_nd(scores, {0, 1}, 0);
        const at::Tensor probabilities = at::softmax(scores, -1).narrow(-1, 0, keys.size(1));
        sum = sum + weights[n][c][k] * at::matmul(probabilities, values).transpose(0, 1);
      }
      chunks.push_back(sum);
    }
    sequences.push_back(at::stack(chunks));
  }
  return at::stack(sequences);
}

inline double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

// A double leaf with entries from the standard normal distribution.
inline at::Tensor normal_leaf(at::IntArrayRef shape, std::uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::empty(shape, at::kDouble).normal_(0, 1, generator).set_requires_grad(true);
}

}  // namespace lookback
