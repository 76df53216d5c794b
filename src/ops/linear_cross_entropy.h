// Cross-entropy of a linear layer's logits without ever holding all of them.
#pragma once

#include <ATen/ATen.h>

namespace lookback {

struct LinearCrossEntropy {
  at::Tensor loss;          // scalar float32: sum_i loss_weights_i * -log softmax(hidden_i weight^T)[label_i]
  at::Tensor token_losses;  // [M] float32: each position's negative log-likelihood in nats, 0 where ignored
};

// hidden [M, d]; weight [V, d], of any floating type (converted to hidden's); labels [M] int64, -100: ignored;
// loss_weights [M] float32, or undefined: 1 / (number of labels that are not ignored). The loss is differentiable
// in hidden and weight; its gradients are made in the forward pass, block by block, where logits are at hand.
// Throws Error naming the argument that does not fit.
LinearCrossEntropy linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels,
                                        const at::Tensor& loss_weights = {});

}  // namespace lookback
