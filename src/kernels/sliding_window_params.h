// The border between the sliding-window attention operator and its kernels: pointers, strides, sizes.
#pragma once

#include <cstdint>

#include "kernels/position_bias.h"
#include "kernels/sequence_rows.h"

namespace lookback {

// Query i sits at key row M + i and sees key row j when 0 <= M + i - j <= W, with
//   score = softmax_scale q . k - m_h (M + i - j),   m_h: of the position bias.
struct SlidingWindowParams {
  std::int64_t batch_size = 0;    // N
  std::int64_t num_queries = 0;   // L
  std::int64_t num_past = 0;      // M: key rows before the first query's own
  std::int64_t num_heads = 0;     // H
  std::int64_t num_kv_heads = 0;  // Hkv, divides H
  std::int64_t head_dim = 0;      // D, a multiple of 8
  std::int64_t window_size = 0;   // W
  PositionBias position_bias = PositionBias::alibi;
  float softmax_scale = 1;
  SequenceRows query;            // [N, L, H, D]
  SequenceRows key, value;       // [N, M + L, Hkv, D]
  float* output = nullptr;       // [N, L, H, D] contiguous, all of it is written
  float* softmax_lse = nullptr;  // [N, H, L] log of the sum of exp(score), written by forward, read by backward
};

// What backward reads and writes beside the above; it reads the output too.
struct SlidingWindowGradients {
  SequenceRows grad_output;     // [N, L, H, D]
  float* grad_query = nullptr;  // [N, L, H, D] contiguous, all of it is written
  float* grad_key = nullptr;    // [N, M + L, Hkv, D] contiguous, zeros: added to
  float* grad_value = nullptr;  // [N, M + L, Hkv, D] contiguous, zeros: added to
};

}  // namespace lookback
