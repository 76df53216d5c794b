// Devices and element types by their names, and the way of numbers to a device.
#pragma once

#include <ATen/ATen.h>

#include <string>

namespace lookback {

// "cpu", "cuda", "cuda:1". Throws Error when this build or machine has no such device, saying which of the two.
at::Device parse_device(const std::string& text);

// "float32" or "bfloat16". Throws Error naming `what` for others.
at::ScalarType parse_dtype(const std::string& text, const std::string& what = "dtype");
const char* dtype_name(at::ScalarType dtype);

// A tensor of the host on the device: itself on the CPU, else a copy that is queued and not waited for.
at::Tensor copy_to_device(const at::Tensor& on_host, at::Device device);

}  // namespace lookback
