// --device and --dtype as values.
#pragma once

#include <ATen/ATen.h>

#include <string>

namespace lookback {

// "cpu", "cuda", "cuda:1". Throws Error when this build or machine has no such device, saying which of the two.
at::Device parse_device(const std::string& text);

// "float32" or "bfloat16".
at::ScalarType parse_dtype(const std::string& text);

}  // namespace lookback
