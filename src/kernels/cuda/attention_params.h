// The border between the attention operators and their GPU kernels: device pointers, strides, sizes. The numbers are
// bfloat16 or float16, by their bits.
#pragma once

#include <cstdint>

#include "kernels/position_bias.h"

namespace lookback::cuda {

// Queries, keys, values or the gradient of the output: [N, groups, rows, heads, D], where a group is a chunk. Strides
// in elements, multiples of 8; that of D is 1. data: aligned to 16 bytes.
struct Rows {
  const std::uint16_t* data = nullptr;
  std::int64_t batch_stride = 0, group_stride = 0, row_stride = 0, head_stride = 0;
};

// Queries and keys are worked on 64 at a time.
constexpr int tile_rows = 64;

constexpr int tiles_of(int num_rows) { return (num_rows + tile_rows - 1) / tile_rows; }

// The letters of docs/model.md: each of the C query chunks reads K of the E stored chunks.
struct ChunkAttentionParams {
  int batch_size = 0;       // N
  int num_chunks = 0;       // C
  int chunk_positions = 0;  // P
  int num_heads = 0;        // H
  int num_kv_heads = 0;     // Hkv, divides H
  int head_dim = 0;         // D, a multiple of 8
  int stored_chunks = 0;    // E
  int chunk_size = 0;       // S
  int top_k = 0;            // K; C K < 2^31
  float softmax_scale = 1;
  bool softmax_plus_one = false;
  Rows query;                             // [N, C, P, H, D]
  Rows key, value;                        // [N, E, S, Hkv, D]
  const std::int64_t* indices = nullptr;  // [N, C, K] contiguous, -1: nothing retrieved
  const float* weights = nullptr;         // [N, C, K] contiguous
  std::uint16_t* output = nullptr;        // [N, C, P, H, D] contiguous, all of it is written
};

// The queries of a key head in a chunk: those of its H / Hkv heads at P positions, as rows.
constexpr int query_rows(const ChunkAttentionParams& params) {
  return params.num_heads / params.num_kv_heads * params.chunk_positions;
}

constexpr int query_tiles(const ChunkAttentionParams& params) { return tiles_of(query_rows(params)); }

// Blocks of threads of forward and of backward's pass over queries; of its pass over stored chunks.
constexpr std::int64_t query_items(const ChunkAttentionParams& params) {
  return static_cast<std::int64_t>(params.batch_size) * params.num_chunks * params.num_kv_heads * query_tiles(params);
}

constexpr std::int64_t key_items(const ChunkAttentionParams& params) {
  return static_cast<std::int64_t>(params.batch_size) * params.stored_chunks * params.num_kv_heads *
         tiles_of(params.chunk_size);
}

// What a query's row keeps for the backward of keys and values.
struct RowStatistics {
  float lse;        // the logarithm to base 2 of the softmax's denominator
  float mean_gain;  // sum over keys of probability x (gradient of the output . value)
};

// What backward reads and writes beside the above; output is not read.
struct ChunkAttentionGradients {
  Rows grad_output;                     // [N, C, P, H, D]
  RowStatistics* statistics = nullptr;  // [N, C, K, H, P]: written by the pass over queries, read by that over chunks
  std::uint16_t* grad_query = nullptr;  // [N, C, P, H, D] contiguous, all of it is written
  std::uint16_t* grad_key = nullptr;    // [N, E, S, Hkv, D] contiguous, all of it is written
  std::uint16_t* grad_value = nullptr;  // likewise
  // [N, C, K, Hkv, query_tiles()] contiguous, zeros: the share of each key head's tile of queries.
  float* grad_weights = nullptr;
  // The inverted index, as ChunkReaders has it: the reads of stored chunk e of sequence n are
  // reads[read_offsets[n E + e]] up to reads[read_offsets[n E + e + 1]]; a read is c K + k.
  const std::int64_t* read_offsets = nullptr;
  const std::int64_t* reads = nullptr;
};

// Query i sits at key row M + i and sees key row j when 0 <= M + i - j <= W, with
//   score = softmax_scale q . k - m_h (M + i - j),   m_h: of the position bias.
struct SlidingWindowParams {
  int batch_size = 0;    // N
  int num_queries = 0;   // L
  int num_past = 0;      // M: key rows before the first query's own
  int num_heads = 0;     // H
  int num_kv_heads = 0;  // Hkv, divides H
  int head_dim = 0;      // D, a multiple of 8
  int window_size = 0;   // W
  PositionBias position_bias = PositionBias::alibi;
  float softmax_scale = 1;
  Rows query;                       // [N, 1, L, H, D]
  Rows key, value;                  // [N, 1, M + L, Hkv, D]
  std::uint16_t* output = nullptr;  // [N, L, H, D] contiguous, written by forward, read by backward
  float* softmax_lse = nullptr;     // [N, H, L] log of the sum of exp(score), written by forward, read by backward
};

constexpr std::int64_t query_items(const SlidingWindowParams& params) {
  return static_cast<std::int64_t>(params.batch_size) * params.num_heads * tiles_of(params.num_queries);
}

constexpr std::int64_t key_items(const SlidingWindowParams& params) {
  return static_cast<std::int64_t>(params.batch_size) * params.num_kv_heads *
         tiles_of(params.num_past + params.num_queries);
}

struct SlidingWindowGradients {
  Rows grad_output;                     // [N, 1, L, H, D]
  float* mean_gain = nullptr;           // [N, H, L]: written by the pass over queries, read by that over keys
  std::uint16_t* grad_query = nullptr;  // [N, L, H, D] contiguous, all of it is written
  std::uint16_t* grad_key = nullptr;    // [N, M + L, Hkv, D] contiguous, all of it is written
  std::uint16_t* grad_value = nullptr;  // likewise
};

}  // namespace lookback::cuda
