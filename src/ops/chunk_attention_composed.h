// Chunk attention composed of tensor operations: for the types and devices that have no kernel of their own, and what
// the kernels are compared with.
#pragma once

#include <ATen/ATen.h>

#include "ops/chunk_attention.h"

namespace lookback {

// As chunk_attention(), whose checks its arguments have passed. Retrieved keys and values are gathered for a few chunks
// at a time only.
at::Tensor chunk_attention_composed(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                    const at::Tensor& indices, const at::Tensor& weights, double softmax_scale,
                                    bool softmax_plus_one);

// All four gradients, given the output's.
ChunkAttentionGrads chunk_attention_composed_backward(const at::Tensor& grad_output, const at::Tensor& query,
                                                      const at::Tensor& key, const at::Tensor& value,
                                                      const at::Tensor& indices, const at::Tensor& weights,
                                                      double softmax_scale, bool softmax_plus_one);

}  // namespace lookback
