// The border between the chunk attention operator and its kernels: pointers, strides, sizes.
#pragma once

#include <cstdint>

#include "kernels/element_type.h"

namespace lookback {

// Keys or values [N, E, S, Hkv, D]; strides in elements, that of D is 1.
struct ChunkRows {
  const void* data = nullptr;
  std::int64_t batch_stride = 0, chunk_stride = 0, row_stride = 0, head_stride = 0;
  ElementType type = ElementType::float32;
  const float* scales = nullptr;  // [N, E, S, Hkv] contiguous, int8 only
};

// Queries, or the gradient of the output [N, C, P, H, D]; strides in elements, that of D is 1.
struct QueryRows {
  const float* data = nullptr;
  std::int64_t batch_stride = 0, chunk_stride = 0, position_stride = 0, head_stride = 0;
};

// The letters of docs/model.md: each of the C query chunks reads K of the E stored chunks.
struct ChunkAttentionParams {
  std::int64_t batch_size = 0;       // N
  std::int64_t num_chunks = 0;       // C
  std::int64_t chunk_positions = 0;  // P
  std::int64_t num_heads = 0;        // H
  std::int64_t num_kv_heads = 0;     // Hkv, divides H
  std::int64_t head_dim = 0;         // D, a multiple of 8
  std::int64_t stored_chunks = 0;    // E
  std::int64_t chunk_size = 0;       // S
  std::int64_t top_k = 0;            // K
  float softmax_scale = 1;
  bool softmax_plus_one = false;
  QueryRows query;
  ChunkRows key, value;                   // of one element type
  const std::int64_t* indices = nullptr;  // [N, C, K] contiguous, -1: nothing retrieved
  const float* weights = nullptr;         // [N, C, K] contiguous
  float* output = nullptr;                // [N, C, P, H, D] contiguous, all of it is written
};

// What backward reads and writes beside the above (float32 keys and values; output is not read).
struct ChunkAttentionGradients {
  QueryRows grad_output;
  float* grad_query = nullptr;    // [N, C, P, H, D] contiguous, all of it is written
  float* grad_key = nullptr;      // [N, E, S, Hkv, D] contiguous, zeros: added to
  float* grad_value = nullptr;    // [N, E, S, Hkv, D] contiguous, zeros: added to
  float* grad_weights = nullptr;  // [N, C, K, Hkv] contiguous: each key head's share, all of it is written
};

}  // namespace lookback
