// Starts a kernel, a block of threads an item, at the compiled size that fits a head.
#pragma once

#include <cuda_runtime.h>

#include <climits>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/cuda_lane.cuh"

namespace lookback::cuda {

// Kernel: a type with static constexpr int shared_bytes, slices (blocks an item), blocks_side_by_side (on a
// multiprocessor, at least: limits the registers of each), and run(arguments..., block, lane, shared), for one block of
// threads.
template <class Kernel, class... Arguments>
__global__ void __launch_bounds__(block_threads, Kernel::blocks_side_by_side) run_block(Arguments... arguments) {
  extern __shared__ uint4 shared[];
  Kernel::run(arguments..., blockIdx.x, CudaLane{}, reinterpret_cast<std::uint16_t*>(shared));
}

template <class Kernel, class... Arguments>
cudaError_t launch(std::int64_t num_items, cudaStream_t stream, const Arguments&... arguments) {
  const std::int64_t num_blocks = num_items * Kernel::slices;
  if (num_blocks == 0) return cudaSuccess;
  if (num_blocks > INT_MAX) return cudaErrorInvalidConfiguration;
  const auto kernel = run_block<Kernel, Arguments...>;
  const cudaError_t allowed =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Kernel::shared_bytes);
  if (allowed != cudaSuccess) return allowed;
  // As many blocks side by side as registers allow: the driver would keep shared memory for fewer.
  const cudaError_t carved =
      cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared);
  if (carved != cudaSuccess) return carved;
  kernel<<<static_cast<unsigned>(num_blocks), block_threads, Kernel::shared_bytes, stream>>>(arguments...);
  return cudaGetLastError();
}

template <template <class, int> class Kernel, class Half, class... Arguments>
cudaError_t launch_for_dim(int head_dim, std::int64_t num_items, cudaStream_t stream, const Arguments&... arguments) {
  if (head_dim <= 32) return launch<Kernel<Half, 32>>(num_items, stream, arguments...);
  if (head_dim <= 64) return launch<Kernel<Half, 64>>(num_items, stream, arguments...);
  if (head_dim <= 128) return launch<Kernel<Half, 128>>(num_items, stream, arguments...);
  if (head_dim <= largest_head_dim) return launch<Kernel<Half, 256>>(num_items, stream, arguments...);
  return cudaErrorInvalidValue;
}

template <template <class, int> class Kernel, class... Arguments>
cudaError_t launch_for(HalfType type, int head_dim, std::int64_t num_items, cudaStream_t stream,
                       const Arguments&... arguments) {
  return type == HalfType::bfloat16 ? launch_for_dim<Kernel, Bfloat16>(head_dim, num_items, stream, arguments...)
                                    : launch_for_dim<Kernel, Float16>(head_dim, num_items, stream, arguments...);
}

}  // namespace lookback::cuda
