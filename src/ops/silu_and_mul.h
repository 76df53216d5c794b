// The inner part of SwiGLU (Shazeer, arXiv 2002.05202).
#pragma once

#include <ATen/ATen.h>

namespace lookback {

// silu(gate) * up, element by element; gate and up have the same shape, floating type and device. Differentiable in
// both, keeping only them for backward. Throws Error naming an argument that does not fit.
at::Tensor silu_and_mul(const at::Tensor& gate, const at::Tensor& up);

}  // namespace lookback
