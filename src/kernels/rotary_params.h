// The border between the rotary embedding operator and its kernel.
#pragma once

#include <cstdint>

namespace lookback {

// Rows of x [R, H, D], contiguous, sit at positions 0..P-1, 0..P-1, ...
struct RotaryParams {
  std::int64_t num_rows = 0;       // R
  std::int64_t num_positions = 0;  // P
  std::int64_t num_heads = 0;      // H
  std::int64_t head_dim = 0;       // D, even
  const float* x = nullptr;        // [R, H, D]
  const float* cosine = nullptr;   // [P, D], the second half the same as the first
  const float* sine = nullptr;     // likewise
  float direction = 1;             // -1: back, which is also the gradient
  float* output = nullptr;         // [R, H, D]
};

}  // namespace lookback
