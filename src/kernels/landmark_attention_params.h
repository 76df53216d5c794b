// The border between the landmark attention operator and its kernels: pointers, strides, sizes.
#pragma once

#include <cstdint>

#include "kernels/sequence_rows.h"

namespace lookback {

// What is computed stands in ops/landmark_attention.h.
struct LandmarkAttentionParams {
  std::int64_t batch_size = 0;    // N
  std::int64_t num_blocks = 0;    // B = L / P
  std::int64_t num_heads = 0;     // H
  std::int64_t num_kv_heads = 0;  // Hkv, divides H
  std::int64_t head_dim = 0;      // D, a multiple of 8
  std::int64_t block_size = 0;    // P, 2 or more
  std::int64_t window_size = 0;   // W
  std::int64_t top_k = 0;         // K; 0: all blocks are read
  float softmax_scale = 1;
  SequenceRows query;              // [N, L, H, D]
  SequenceRows key, value;         // [N, L, Hkv, D]
  float* output = nullptr;         // [N, L, H, D] contiguous, all of it is written
  float* softmax_lse = nullptr;    // [N, H, L] log of the sum of exp(score) over own block and landmarks, written by
                                   // forward, read by backward
  std::uint8_t* unread = nullptr;  // [N, H, B, L] zeros, made 1 by forward where a query does not read a block, read by
                                   // backward; null: not wanted, and all are read
};

// What backward reads and writes beside the above; it reads the output too.
struct LandmarkAttentionGradients {
  SequenceRows grad_output;     // [N, L, H, D]
  float* grad_query = nullptr;  // [N, L, H, D] contiguous, all of it is written
  float* grad_key = nullptr;    // [N, L, Hkv, D] contiguous, zeros: added to
  float* grad_value = nullptr;  // [N, L, Hkv, D] contiguous, zeros: added to
};

}  // namespace lookback
