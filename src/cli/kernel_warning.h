// Told before anything slow begins.
#pragma once

#include <ATen/ATen.h>

#include "models/config.h"

namespace lookback {

// A line on standard error where such a model on `device` in `dtype` reaches no kernels of ours
// (ops/missing_kernels.h).
void warn_of_missing_kernels(at::Device device, at::ScalarType dtype, const ModelConfig& config);

}  // namespace lookback
