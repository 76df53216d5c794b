// Sliding-window attention and its gradients as the formulas say (docs/model.md, 3), in float64 scalars:
// what the kernels are compared with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/position_bias.h"
#include "kernels/sums.h"

namespace lookback {

struct SlidingWindowSizes {
  std::int64_t batch, queries, past, heads, kv_heads, head_dim, window;
  PositionBias bias = PositionBias::alibi;
};

// All tensors contiguous, in the layouts of SlidingWindowParams.
struct SlidingWindowInputs {
  std::vector<float> query, key, value, grad_output;
};

struct SlidingWindowTwin {
  Sums output, grad_query, grad_key, grad_value;
  double largest_dot_terms = 0;  // the largest sum_d |q_d k_d| / sqrt(D)
  double largest_score = 0;      // the same with the bias: its own rounding is relative to that
};

std::string describe(const SlidingWindowSizes& z);

// Normal numbers.
SlidingWindowInputs make_inputs(const SlidingWindowSizes& z, std::uint64_t seed);

SlidingWindowTwin sliding_window_twin(const SlidingWindowSizes& sizes, const SlidingWindowInputs& inputs);

}  // namespace lookback
