// The border between attention to the nearest positions and its kernels: pointers, strides, sizes.
#pragma once

#include <cstdint>

#include "kernels/sequence_rows.h"

namespace lookback {

// What is computed stands in nn/nearest_attention.h.
struct NearestAttentionParams {
  std::int64_t batch_size = 0;    // N
  std::int64_t num_queries = 0;   // L
  std::int64_t num_past = 0;      // key rows before the first query's own
  std::int64_t num_heads = 0;     // H
  std::int64_t num_kv_heads = 0;  // Hkv, divides H
  std::int64_t head_dim = 0;      // D, a multiple of 8
  std::int64_t window_size = 0;   // W
  std::int64_t memory_size = 0;   // M
  std::int64_t top_k = 0;         // K
  float softmax_scale = 1;
  SequenceRows query;       // [N, L, H, D]
  SequenceRows key, value;  // [N, num_past + L, Hkv, D], fewer than 2^31 rows
  float* output = nullptr;  // [N, L, H, D] contiguous, all of it is written
  // Which rows each query reads (-1: none) and with which weights [N, H, L, K] contiguous, written by forward, read by
  // backward; null: not wanted.
  std::int32_t* rows = nullptr;
  float* weights = nullptr;
};

// What backward reads and writes beside the above.
struct NearestAttentionGradients {
  SequenceRows grad_output;     // [N, L, H, D]
  float* grad_query = nullptr;  // [N, L, H, D] contiguous, all of it is written
  float* grad_key = nullptr;    // [N, num_past + L, Hkv, D] contiguous, zeros: added to
  float* grad_value = nullptr;  // [N, num_past + L, Hkv, D] contiguous, zeros: added to
};

}  // namespace lookback
