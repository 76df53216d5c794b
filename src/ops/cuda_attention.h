// The attention operators on a GPU, through the kernels of kernels/cuda, in bfloat16 and float16.
#pragma once

#include <ATen/ATen.h>

#include "ops/chunk_attention.h"
#include "ops/sliding_window_attention.h"

namespace lookback {

// Whether the kernels take such a query [..., D]: in bfloat16 or float16, D a multiple of 8 up to 256, on a card of
// compute capability 8.0 or later with enough shared memory for D. Never, in a build without a CUDA compiler.
bool has_cuda_kernel(const at::Tensor& query);

// As the operators of the same names, whose checks their arguments have passed; for what has_cuda_kernel(). Throw Error
// where a size is 2^31 or more, or the card refuses a kernel.
at::Tensor cuda_chunk_attention_forward(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                        const at::Tensor& indices, const at::Tensor& weights, double softmax_scale,
                                        bool softmax_plus_one);

ChunkAttentionGrads cuda_chunk_attention_backward(const at::Tensor& grad_output, const at::Tensor& query,
                                                  const at::Tensor& key, const at::Tensor& value,
                                                  const at::Tensor& indices, const at::Tensor& weights,
                                                  double softmax_scale, bool softmax_plus_one, bool chunks);

SlidingWindowForward cuda_sliding_window_forward(const at::Tensor& query, const at::Tensor& key,
                                                 const at::Tensor& value, std::int64_t window_size,
                                                 PositionBias position_bias);

SlidingWindowGrads cuda_sliding_window_backward(const at::Tensor& grad_output, const at::Tensor& query,
                                                const at::Tensor& key, const at::Tensor& value,
                                                const SlidingWindowForward& forward, std::int64_t window_size,
                                                PositionBias position_bias, bool keys);

}  // namespace lookback
