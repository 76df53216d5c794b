// Cross-entropy of rows of logits on a GPU of compute capability 8.0 or later.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/cross_entropy_rows.h"
#include "kernels/cuda/half_type.h"

namespace lookback::cuda {

// Starts it on the stream and returns at once; the result is CUDA's error code.
cudaError_t cross_entropy(const CrossEntropyRows& params, HalfType type, cudaStream_t stream);

}  // namespace lookback::cuda
