// Attention to the nearest of the positions before a window, on the CPU. Each function does a range of work items on
// the calling thread; whoever calls divides the range among threads. Scratch: aligned to 64 bytes.
#pragma once

#include <cstdint>

#include "kernels/nearest_attention_params.h"
#include "kernels/simd_level.h"

namespace lookback {

// Forward's items: blocks of queries of one head of one sequence. Any range of them has early and late ones, which have
// few and many rows to choose from.
std::int64_t nearest_attention_forward_items(const NearestAttentionParams& params);

// Floats of scratch that one thread needs.
std::int64_t nearest_attention_forward_scratch(const NearestAttentionParams& params);

// Of rows that score the same, the nearest are chosen.
void nearest_attention_forward(const NearestAttentionParams& params, std::int64_t first, std::int64_t last,
                               float* scratch, SimdLevel level = best_simd_level());

// Items: N * Hkv, the key heads of the sequences. The choice has no gradient.
std::int64_t nearest_attention_backward_scratch(const NearestAttentionParams& params);
void nearest_attention_backward(const NearestAttentionParams& params, const NearestAttentionGradients& gradients,
                                std::int64_t first, std::int64_t last, float* scratch,
                                SimdLevel level = best_simd_level());

}  // namespace lookback
