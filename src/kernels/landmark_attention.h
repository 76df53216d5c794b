// Attention to the blocks of a text through their landmarks, on the CPU. Each function does a range of work items on
// the calling thread; whoever calls divides the range among threads. Scratch: aligned to 64 bytes.
#pragma once

#include <cstdint>

#include "kernels/landmark_attention_params.h"
#include "kernels/simd_level.h"

namespace lookback {

// Forward's items: parts of a block of queries of one head of one sequence. Any range of them has early and late ones,
// which have little and much to read.
std::int64_t landmark_attention_forward_items(const LandmarkAttentionParams& params);

// Floats of scratch that one thread needs.
std::int64_t landmark_attention_forward_scratch(const LandmarkAttentionParams& params);

void landmark_attention_forward(const LandmarkAttentionParams& params, std::int64_t first, std::int64_t last,
                                float* scratch, SimdLevel level = best_simd_level());

// Backward is offered in two ways whose results are the same to the last bit: by heads (items: N * Hkv,
// 5 matrix products a tile), or in two passes, queries (forward's items) and keys (3 + 4 products), in which any number
// of threads has work.
std::int64_t landmark_attention_backward_scratch(const LandmarkAttentionParams& params);

void landmark_attention_backward_heads(const LandmarkAttentionParams& params,
                                       const LandmarkAttentionGradients& gradients, std::int64_t first,
                                       std::int64_t last, float* scratch, SimdLevel level = best_simd_level());

void landmark_attention_backward_queries(const LandmarkAttentionParams& params,
                                         const LandmarkAttentionGradients& gradients, std::int64_t first,
                                         std::int64_t last, float* scratch, SimdLevel level = best_simd_level());

// Items: blocks of keys of one key head of one sequence, N * Hkv * B.
std::int64_t landmark_attention_key_items(const LandmarkAttentionParams& params);

void landmark_attention_backward_keys(const LandmarkAttentionParams& params,
                                      const LandmarkAttentionGradients& gradients, std::int64_t first,
                                      std::int64_t last, float* scratch, SimdLevel level = best_simd_level());

}  // namespace lookback
