// Sliding-window attention composed of tensor operations: for the types and devices that have no kernel of their own,
// and what the kernels are compared with.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

#include "ops/sliding_window_attention.h"

namespace lookback {

// As sliding_window_attention(), whose checks its arguments have passed.
at::Tensor sliding_window_attention_composed(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                             std::int64_t window_size, PositionBias position_bias);

// All three gradients, given the output's.
SlidingWindowGrads sliding_window_attention_composed_backward(const at::Tensor& grad_output, const at::Tensor& query,
                                                              const at::Tensor& key, const at::Tensor& value,
                                                              std::int64_t window_size, PositionBias position_bias);

}  // namespace lookback
