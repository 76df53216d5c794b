#include "kernels/cuda/cross_entropy.h"
#include "kernels/cuda/launch.cuh"

namespace lookback::cuda {

cudaError_t cross_entropy(const CrossEntropyRows& params, HalfType type, cudaStream_t stream) {
  return type == HalfType::bfloat16 ? launch<CrossEntropyKernel<Bfloat16>>(params.num_rows, stream, params)
                                    : launch<CrossEntropyKernel<Float16>>(params.num_rows, stream, params);
}

}  // namespace lookback::cuda
