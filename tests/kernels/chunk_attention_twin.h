// Chunk attention and its gradients as the formulas say (docs/model.md, 7), in float64 scalars: what the kernels are
// compared with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/sums.h"

namespace lookback {

struct ChunkAttentionSizes {
  std::int64_t batch, chunks, positions, heads, kv_heads, head_dim, stored, chunk_size, top_k;
  bool plus_one;
};

// All tensors contiguous, in the layouts of ChunkAttentionParams.
struct ChunkAttentionInputs {
  std::vector<float> query, key, value, weights, grad_output;
  std::vector<std::int64_t> indices;
  double softmax_scale;
};

struct ChunkAttentionTwin {
  Sums output, grad_query, grad_key, grad_value;
  Sums grad_weights;               // [N, C, K, Hkv]
  double largest_score_terms = 0;  // the largest scale * sum_d |q_d k_d|: rounding of a score is relative to it
};

std::string describe(const ChunkAttentionSizes& z);

// Normal numbers, any retrieved chunks, some of none, some of weight 0.
ChunkAttentionInputs make_inputs(const ChunkAttentionSizes& z, std::uint64_t seed);

// Of a few tens at most.
ChunkAttentionSizes random_chunk_attention_sizes(std::uint64_t seed);

ChunkAttentionTwin chunk_attention_twin(const ChunkAttentionSizes& sizes, const ChunkAttentionInputs& inputs);

}  // namespace lookback
