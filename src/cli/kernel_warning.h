// Told before anything slow begins.
#pragma once

#include <ATen/ATen.h>

#include <string>

#include "models/config.h"

namespace lookback {

// A line on standard error that begins with "warning: ".
void print_warning(const std::string& what);

// One where such a model on `device` in `dtype` reaches no kernels of ours
// (ops/missing_kernels.h).
void warn_of_missing_kernels(at::Device device, at::ScalarType dtype, const ModelConfig& config);

}  // namespace lookback
