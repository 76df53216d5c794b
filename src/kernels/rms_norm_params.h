// The border between the RMSNorm operator and its kernels.
#pragma once

#include <cstdint>

namespace lookback {

// Rows whose share of the weight's gradient is summed by itself: the sum's order depends on no number of threads.
inline constexpr std::int64_t rms_norm_block_rows = 64;

// output = x * rstd * weight with rstd = 1 / sqrt(mean(x^2) + eps), all contiguous.
struct RmsNormParams {
  std::int64_t num_rows = 0;  // R
  std::int64_t size = 0;      // d
  float eps = 0;
  const float* x = nullptr;       // [R, d]
  const float* weight = nullptr;  // [d]
  float* output = nullptr;        // [R, d], written by forward
  float* rstd = nullptr;          // [R], written by forward, read by backward
};

struct RmsNormGradients {
  const float* grad_output = nullptr;  // [R, d]
  float* grad_x = nullptr;             // [R, d]
  float* grad_weight = nullptr;        // [ceil(R / rms_norm_block_rows), d], a block's share each
};

}  // namespace lookback
