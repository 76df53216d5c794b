// RMSNorm (Zhang and Sennrich, arXiv 1910.07467).
#pragma once

#include <ATen/ATen.h>

namespace lookback {

// x / sqrt(mean(x^2) + eps) * weight over the last dimension: x [..., d] of any floating type, weight [d]. Computed in
// float32, of float64 in float64; the result has x's type. Differentiable in x and weight.
// Throws Error naming an argument whose shape, type or device does not fit.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

}  // namespace lookback
