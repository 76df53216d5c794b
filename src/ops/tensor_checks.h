// Checks at the door of the operators: each names the argument, what was wanted and what was found.
#pragma once

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/error.h"

namespace lookback {

inline void check_dimensions(const at::Tensor& tensor, std::int64_t dimensions, const char* name, const char* layout) {
  require(tensor.defined(), "{}: expected a tensor {}, found none", name, layout);
  require(tensor.dim() == dimensions, "{}: expected {}, found [{}]", name, layout, fmt::join(tensor.sizes(), ", "));
}

inline void check_size(const at::Tensor& tensor, std::int64_t dimension, std::int64_t wanted, const char* name,
                       const char* layout) {
  require(tensor.size(dimension) == wanted, "{}: expected {} with {} in dimension {}, found [{}]", name, layout, wanted,
          dimension, fmt::join(tensor.sizes(), ", "));
}

// Same type and device as `like`.
inline void check_same_kind(const at::Tensor& tensor, const at::Tensor& like, const char* name, const char* like_name) {
  require(tensor.scalar_type() == like.scalar_type(), "{}: expected the type of {} ({}), found {}", name, like_name,
          c10::toString(like.scalar_type()), c10::toString(tensor.scalar_type()));
  require(tensor.device() == like.device(), "{}: expected on the device of {} ({}), found on {}", name, like_name,
          like.device().str(), tensor.device().str());
}

inline void check_floating(const at::Tensor& tensor, const char* name) {
  require(tensor.is_floating_point(), "{}: expected a floating-point tensor, found {}", name,
          c10::toString(tensor.scalar_type()));
}

// int64 indices in [smallest, end). On a GPU the kernels that read them check them: to ask here would have the CPU wait
// for all that is queued, at every call.
inline void check_range(const at::Tensor& indices, std::int64_t smallest, std::int64_t end, const char* name) {
  if (!indices.is_cpu() || indices.numel() == 0) return;
  // A loop: an operator's start costs more than a decoding step's few indices.
  const at::Tensor contiguous = indices.contiguous();
  const std::int64_t* const data = contiguous.const_data_ptr<std::int64_t>();
  const auto [least, most] = std::minmax_element(data, data + contiguous.numel());
  require(*least >= smallest && *most < end, "{}: expected {} to {}, found {} to {}", name, smallest, end - 1, *least,
          *most);
}

}  // namespace lookback
