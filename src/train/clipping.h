// Gradient clipping by the global norm.
#pragma once

#include "nn/parameters.h"

namespace lookback {

// The norm of all gradients together; where it is above max_norm > 0, scales them by max_norm / (norm + 1e-6), as
// PyTorch's clip_grad_norm_ does. Gradients whose norm is not finite are left as they are. Returns the norm before.
double clip_gradients(ParameterSet& parameters, double max_norm);

}  // namespace lookback
