// Gradient checkpointing: keep a function's inputs, compute its inside again in the backward pass.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <vector>

namespace lookback {

using TensorFunction = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

// function(inputs), of which only the inputs are kept for backward. The function must give the same result when it
// is called again; gradients flow to the inputs and to the parameters that it uses (Chen et al., arXiv 1604.06174).
at::Tensor recompute_in_backward(const TensorFunction& function, const std::vector<at::Tensor>& inputs);

}  // namespace lookback
