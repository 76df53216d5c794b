// Cross-entropy on a GPU, through the kernel of kernels/cuda, in bfloat16 and float16.
#pragma once

#include <ATen/ATen.h>

namespace lookback {

// Whether the kernel takes logits of this tensor's type and device: bfloat16 or float16, on a card of compute
// capability 8.0 or later. Never, in a build without a CUDA compiler.
bool has_cuda_cross_entropy(const at::Tensor& hidden);

// The classes' number rounded up to rows that the card's matrix product and the kernel take at full speed.
std::int64_t padded_classes(std::int64_t num_classes);

// logits [M, padded_classes(num_classes)] contiguous, of has_cuda_cross_entropy()'s types; labels [M] int64, below
// num_classes, -100: ignored (the GPU ends with an assertion at others); losses [M] float32 is filled with each row's
// negative log-likelihood, 0 where ignored. With factors [M] float32 the logits become the loss's gradient, factor
// (softmax - one-hot of the label), zeros in the padding. Throws Error where the card refuses the kernel.
void cuda_cross_entropy(at::Tensor& logits, std::int64_t num_classes, const at::Tensor& labels,
                        const at::Tensor& factors, at::Tensor& losses);

}  // namespace lookback
