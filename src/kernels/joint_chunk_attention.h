// Attention to retrieved chunks under one softmax, on the CPU: as chunk_attention.h, whose items, scratch, order of
// sums and two ways backward these functions have.
#pragma once

#include <cstdint>

#include "kernels/chunk_readers.h"
#include "kernels/joint_chunk_attention_params.h"
#include "kernels/simd_level.h"

namespace lookback {

std::int64_t joint_chunk_attention_forward_scratch(const ChunkAttentionParams& params);

void joint_chunk_attention_forward(const JointChunkAttentionParams& params, std::int64_t first, std::int64_t last,
                                   float* scratch, SimdLevel level = best_simd_level());

// Backward's scratch is chunk_attention_backward_scratch; no gradients of weights are written.
void joint_chunk_attention_backward_heads(const JointChunkAttentionParams& params,
                                          const ChunkAttentionGradients& gradients, std::int64_t first,
                                          std::int64_t last, float* scratch, SimdLevel level = best_simd_level());

void joint_chunk_attention_backward_queries(const JointChunkAttentionParams& params,
                                            const ChunkAttentionGradients& gradients, std::int64_t first,
                                            std::int64_t last, float* scratch, SimdLevel level = best_simd_level());

void joint_chunk_attention_backward_chunks(const JointChunkAttentionParams& params,
                                           const ChunkAttentionGradients& gradients, const ChunkReaders& readers,
                                           std::int64_t first, std::int64_t last, float* scratch,
                                           SimdLevel level = best_simd_level());

}  // namespace lookback
