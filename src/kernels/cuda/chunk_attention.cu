#include "kernels/cuda/chunk_attention_backward.h"
#include "kernels/cuda/chunk_attention_forward.h"
#include "kernels/cuda/launch.cuh"

namespace lookback::cuda {

cudaError_t chunk_attention_forward(const ChunkAttentionParams& params, HalfType type, cudaStream_t stream) {
  return launch_for<ChunkAttentionForwardKernel>(type, params.head_dim, query_items(params), stream, params);
}

cudaError_t chunk_attention_backward_queries(const ChunkAttentionParams& params,
                                             const ChunkAttentionGradients& gradients, HalfType type,
                                             cudaStream_t stream) {
  return launch_for<ChunkAttentionBackwardQueriesKernel>(type, params.head_dim, query_items(params), stream, params,
                                                         gradients);
}

cudaError_t chunk_attention_backward_chunks(const ChunkAttentionParams& params,
                                            const ChunkAttentionGradients& gradients, HalfType type,
                                            cudaStream_t stream) {
  return launch_for<ChunkAttentionBackwardChunksKernel>(type, params.head_dim, key_items(params), stream, params,
                                                        gradients);
}

}  // namespace lookback::cuda
