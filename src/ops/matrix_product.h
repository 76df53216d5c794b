// Products of matrices by the faster of the libraries that LibTorch brings: MKL, or oneDNN where MKL does not use the
// processor's widest vectors.
#pragma once

#include <ATen/ATen.h>

namespace lookback {

// a [M, I] b [I, O] -> [M, O], either of any strides. No autograd.
at::Tensor matrix_product(const at::Tensor& a, const at::Tensor& b);

// The same into out [M, O].
void matrix_product_out(at::Tensor& out, const at::Tensor& a, const at::Tensor& b);

// x [..., I] times weight [O, I] transposed -> [..., O], with gradients to both.
at::Tensor linear_projection(const at::Tensor& x, const at::Tensor& weight);

}  // namespace lookback
