// Causal attention over a window, with or without ALiBi, on the CPU. Each function does a range of work items on the
// calling thread; whoever calls divides the range among threads. Scratch: aligned to 64 bytes.
#pragma once

#include <cstdint>

#include "kernels/simd_level.h"
#include "kernels/sliding_window_params.h"

namespace lookback {

// Forward's items: blocks of queries of one head of one sequence.
std::int64_t sliding_window_forward_items(const SlidingWindowParams& params);

// Floats of scratch that one thread needs.
std::int64_t sliding_window_forward_scratch(const SlidingWindowParams& params);

void sliding_window_forward(const SlidingWindowParams& params, std::int64_t first, std::int64_t last, float* scratch,
                            SimdLevel level = best_simd_level());

// Backward is offered in two ways whose results are the same to the last bit: by heads (items: N * Hkv, 5 matrix
// products a tile), or in two passes, queries (forward's items) and keys (3 + 4 products), in which any number of
// threads has work.
std::int64_t sliding_window_backward_scratch(const SlidingWindowParams& params);

void sliding_window_backward_heads(const SlidingWindowParams& params, const SlidingWindowGradients& gradients,
                                   std::int64_t first, std::int64_t last, float* scratch,
                                   SimdLevel level = best_simd_level());

void sliding_window_backward_queries(const SlidingWindowParams& params, const SlidingWindowGradients& gradients,
                                     std::int64_t first, std::int64_t last, float* scratch,
                                     SimdLevel level = best_simd_level());

// Items: blocks of keys of one key head of one sequence.
std::int64_t sliding_window_key_items(const SlidingWindowParams& params);

void sliding_window_backward_keys(const SlidingWindowParams& params, const SlidingWindowGradients& gradients,
                                  std::int64_t first, std::int64_t last, float* scratch,
                                  SimdLevel level = best_simd_level());

}  // namespace lookback
