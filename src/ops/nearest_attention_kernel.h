// Attention to the nearest positions by its kernel (kernels/nearest_attention.h); nn/nearest_attention.h is for all
// types and devices.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

namespace lookback {

struct NearestAttentionSizes {
  std::int64_t window_size = 0;  // W
  std::int64_t memory_size = 1;  // M
  std::int64_t top_k = 1;        // K
};

// As nearest_attention, for float32 on the CPU with D a multiple of 8 up to 256. Which rows are read is kept for
// backward; of those that score the same, the nearest are read. Results do not depend on the number of threads.
at::Tensor nearest_attention_by_kernel(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                       const NearestAttentionSizes& sizes);

}  // namespace lookback
