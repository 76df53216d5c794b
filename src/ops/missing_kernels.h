// Which element types run without our kernels, so that whoever chose one can be told.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>

namespace lookback {

// What a person is told whose model, with heads of head_dim, is to run on `device` in `dtype`: one line that says what
// is slow and what to pass instead; empty where our kernels are reached. Asks the device itself only for what its
// kernels take (has_cuda_kernel).
std::string missing_kernels(at::Device device, at::ScalarType dtype, std::int64_t head_dim);

}  // namespace lookback
