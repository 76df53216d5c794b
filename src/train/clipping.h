// Gradient clipping by the global norm.
#pragma once

#include <ATen/ATen.h>

#include "nn/parameters.h"

namespace lookback {

// Returns the norm of all gradients together before clipping, a scalar on the parameters' device. Where it is above
// max_norm > 0, scales them by max_norm / (norm + 1e-6), as PyTorch's clip_grad_norm_ does. Gradients whose norm is not
// finite are left as they are. Does not wait for the device.
at::Tensor clip_gradients(ParameterSet& parameters, double max_norm);

}  // namespace lookback
