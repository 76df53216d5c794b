// Causal self-attention over a window, with or without ALiBi (docs/model.md, 3): O(L * W) in time and memory.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

#include "kernels/position_bias.h"

namespace lookback {

// query [N, L, H, D]; key, value [N, M + L, Hkv, D], where the first M rows are positions that precede the first
// query (M = 0: none). Query i sits at key row M + i and sees key row j when 0 <= M + i - j <= window_size, with
//   score = q . k / sqrt(D) - m_h (M + i - j),   m_h = 2^(-8 (h + 1) / H) with ALiBi, 0 without bias.
// Rotary positions: query and key rotated before (ops/rotary.h), and no bias.
// Hkv divides H: query head h reads key head h / (H / Hkv). Returns [N, L, H, D]; gradients to all three.
// float32 on the CPU with D a multiple of 8 up to 256 has a kernel (kernels/sliding_window.h), whose results do not
// depend on the number of threads. Softmax in float32 (float64 for float64 inputs). Throws Error naming the argument
// that does not fit.
at::Tensor sliding_window_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                    std::int64_t window_size, PositionBias position_bias);

// What backward wants of forward.
struct SlidingWindowForward {
  at::Tensor output;  // [N, L, H, D]
  at::Tensor
      softmax_lse;  // [N, H, L] float32: log of each softmax's denominator; zeros where backward computes it anew
};

// d loss / d input. Undefined where nobody asked.
struct SlidingWindowGrads {
  at::Tensor query, key, value;
};

// sliding_window_attention in two halves, for those who do their own autograd. grad_output [N, L, H, D]; queries: the
// gradient of query; keys: those of key and value.
SlidingWindowForward sliding_window_attention_forward(const at::Tensor& query, const at::Tensor& key,
                                                      const at::Tensor& value, std::int64_t window_size,
                                                      PositionBias position_bias);
SlidingWindowGrads sliding_window_attention_backward(const at::Tensor& grad_output, const at::Tensor& query,
                                                     const at::Tensor& key, const at::Tensor& value,
                                                     const SlidingWindowForward& forward, std::int64_t window_size,
                                                     PositionBias position_bias, bool queries = true, bool keys = true);

}  // namespace lookback
