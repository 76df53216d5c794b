// Random generators of tensors.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

namespace lookback {

// A generator of its own (not LibTorch's default one) on `device`.
at::Generator make_generator(at::Device device, std::uint64_t seed);

}  // namespace lookback
