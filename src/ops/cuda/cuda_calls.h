// What calls of the GPU's kernels share.
#pragma once

#include <ATen/ATen.h>
#include <cuda_runtime_api.h>

#include <cstdint>

#include "core/error.h"
#include "kernels/cuda/half_type.h"

namespace lookback {

inline void require_started(cudaError_t error, const char* kernel) {
  require(error == cudaSuccess, "{}: the GPU refused to start it: {}", kernel, cudaGetErrorString(error));
}

inline bool is_half(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kBFloat16 || tensor.scalar_type() == at::kHalf;
}

// Of a tensor that is_half().
inline cuda::HalfType half_type(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kBFloat16 ? cuda::HalfType::bfloat16 : cuda::HalfType::float16;
}

inline std::uint16_t* mutable_bits(const at::Tensor& tensor) {
  return static_cast<std::uint16_t*>(tensor.mutable_data_ptr());
}

}  // namespace lookback
