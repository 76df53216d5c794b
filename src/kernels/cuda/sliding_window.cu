#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/sliding_window.h"

namespace lookback::cuda {

cudaError_t sliding_window_forward(const SlidingWindowParams& params, HalfType type, cudaStream_t stream) {
  return launch_for<SlidingWindowForwardKernel>(type, params.head_dim, query_items(params), stream, params);
}

cudaError_t sliding_window_backward_queries(const SlidingWindowParams& params, const SlidingWindowGradients& gradients,
                                            HalfType type, cudaStream_t stream) {
  return launch_for<SlidingWindowBackwardQueriesKernel>(type, params.head_dim, query_items(params), stream, params,
                                                        gradients);
}

cudaError_t sliding_window_backward_keys(const SlidingWindowParams& params, const SlidingWindowGradients& gradients,
                                         HalfType type, cudaStream_t stream) {
  return launch_for<SlidingWindowBackwardKeysKernel>(type, params.head_dim, key_items(params), stream, params,
                                                     gradients);
}

}  // namespace lookback::cuda
