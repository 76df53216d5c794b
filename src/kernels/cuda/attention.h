// The attention kernels on a GPU of compute capability 8.0 or later. They are started on a stream and return at once;
// the result is CUDA's error code. The same functions run in the tests, in an emulated block of threads.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/attention_params.h"
#include "kernels/cuda/half_type.h"

namespace lookback::cuda {

constexpr int largest_head_dim = 256;

// Bytes of shared memory that a block of any of the kernels takes; a device must allow as many.
int shared_bytes_needed(int head_dim);

cudaError_t chunk_attention_forward(const ChunkAttentionParams& params, HalfType type, cudaStream_t stream);

// grad_query, grad_weights and statistics.
cudaError_t chunk_attention_backward_queries(const ChunkAttentionParams& params,
                                             const ChunkAttentionGradients& gradients, HalfType type,
                                             cudaStream_t stream);

// grad_key and grad_value, after the pass over queries.
cudaError_t chunk_attention_backward_chunks(const ChunkAttentionParams& params,
                                            const ChunkAttentionGradients& gradients, HalfType type,
                                            cudaStream_t stream);

cudaError_t sliding_window_forward(const SlidingWindowParams& params, HalfType type, cudaStream_t stream);

// grad_query and mean_gain.
cudaError_t sliding_window_backward_queries(const SlidingWindowParams& params, const SlidingWindowGradients& gradients,
                                            HalfType type, cudaStream_t stream);

// grad_key and grad_value, after the pass over queries.
cudaError_t sliding_window_backward_keys(const SlidingWindowParams& params, const SlidingWindowGradients& gradients,
                                         HalfType type, cudaStream_t stream);

}  // namespace lookback::cuda
