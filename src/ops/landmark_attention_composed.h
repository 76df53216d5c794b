// landmark_attention of tensor operations: for types and devices without kernels, and what the kernels are measured
// against.
#pragma once

#include <ATen/ATen.h>

#include "ops/landmark_attention.h"

namespace lookback {

// The arguments have passed landmark_attention's checks.
at::Tensor landmark_attention_composed(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                       const LandmarkAttentionSizes& sizes);

}  // namespace lookback
