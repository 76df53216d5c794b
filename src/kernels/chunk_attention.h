// Attention to retrieved chunks on the CPU, reading the chunks where they lie. Each function does a range of work
// items on the calling thread; whoever calls divides the range among threads.
#pragma once

#include <cstdint>

#include "kernels/chunk_attention_params.h"
#include "kernels/chunk_readers.h"
#include "kernels/simd_level.h"

namespace lookback {

// Forward's items: for each sequence, chunk of queries and key head one, N * C * Hkv in all; an item writes its own
// part of the output.
std::int64_t chunk_attention_forward_items(const ChunkAttentionParams& params);

// Floats of scratch that one thread needs.
std::int64_t chunk_attention_forward_scratch(const ChunkAttentionParams& params);

// Items [first, last). scratch: aligned to 64 bytes.
void chunk_attention_forward(const ChunkAttentionParams& params, std::int64_t first, std::int64_t last, float* scratch,
                             SimdLevel level = best_simd_level());

// Forward where every chunk of queries has a single position (P = 1: decoding), so few that a thread of its own for
// each would leave threads without work: items are the N * C * K retrieved chunks. Writes what item first + i adds to
// the output to partials [last - first, H, D]; then sum_partials adds them up, always in the same order.
std::int64_t chunk_attention_decode_scratch(const ChunkAttentionParams& params);
void chunk_attention_decode(const ChunkAttentionParams& params, std::int64_t first, std::int64_t last, float* partials,
                            float* scratch, SimdLevel level = best_simd_level());

// Output of query chunks [first, last) of N * C, whose items' partials [last - first, K, H, D] are.
void chunk_attention_sum_partials(const ChunkAttentionParams& params, std::int64_t first, std::int64_t last,
                                  const float* partials, SimdLevel level = best_simd_level());

// Backward is offered in two ways whose results are the same to the last bit. By heads: items are the N * Hkv key
// heads of the sequences, each done by one thread in 5 matrix products a tile. In two passes: first queries and
// weights, with forward's items, then stored chunks, N * Hkv * E items which find their queries through the inverted
// index; 3 + 4 products, but any number of threads has work. Either way each sum has one thread and one order.
std::int64_t chunk_attention_backward_scratch(const ChunkAttentionParams& params);

// grad_query, grad_key, grad_value and grad_weights of items [first, last) of N * Hkv.
void chunk_attention_backward_heads(const ChunkAttentionParams& params, const ChunkAttentionGradients& gradients,
                                    std::int64_t first, std::int64_t last, float* scratch,
                                    SimdLevel level = best_simd_level());

// grad_query and grad_weights of items [first, last) of forward's.
void chunk_attention_backward_queries(const ChunkAttentionParams& params, const ChunkAttentionGradients& gradients,
                                      std::int64_t first, std::int64_t last, float* scratch,
                                      SimdLevel level = best_simd_level());

// grad_key and grad_value of items [first, last) of N * Hkv * E.
void chunk_attention_backward_chunks(const ChunkAttentionParams& params, const ChunkAttentionGradients& gradients,
                                     const ChunkReaders& readers, std::int64_t first, std::int64_t last, float* scratch,
                                     SimdLevel level = best_simd_level());

}  // namespace lookback
