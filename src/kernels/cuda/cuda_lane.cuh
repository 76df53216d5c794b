// A thread of a GPU's block, for the functions of tile.h: what only the hardware can do. Compute capability 8.0 and
// later.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/cuda/tile.h"

// The CUDA compiler's own, which <cassert> does not declare in release builds.
extern "C" __host__ __device__ void __assert_fail(const char* what, const char* file, unsigned line,
                                                  const char* function) noexcept;

namespace lookback::cuda {

struct CudaLane {
  __device__ __forceinline__ int thread() const { return static_cast<int>(threadIdx.x); }
  __device__ __forceinline__ int warp() const { return static_cast<int>(threadIdx.x) / 32; }
  __device__ __forceinline__ int in_warp() const { return static_cast<int>(threadIdx.x) % 32; }
  __device__ __forceinline__ void sync() const { __syncthreads(); }

  __device__ __forceinline__ float infinity() const { return __int_as_float(0x7f800000); }
  __device__ __forceinline__ float larger(float a, float b) const { return fmaxf(a, b); }
  // The hardware's own, within 2 units in the last place; 0 instead of a denormal number.
  __device__ __forceinline__ float exp2(float x) const {
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
    return power;
  }
  __device__ __forceinline__ float log2(float x) const { return log2f(x); }
  __device__ __forceinline__ float shuffle_xor(float value, int mask) const {
    return __shfl_xor_sync(0xffffffffU, value, mask);
  }

  // Ends the kernel where a caller's promise is broken; whoever next waits for the GPU gets cudaErrorAssert.
  __device__ __forceinline__ void require(bool holds, const char* message) const {
    if (!holds) __assert_fail(message, __FILE__, __LINE__, "lookback::cuda");
  }

  template <class Half>
  __device__ __forceinline__ float to_float(std::uint16_t bits) const;

  // Two numbers rounded to Half, low in the low bits.
  template <class Half>
  __device__ __forceinline__ std::uint32_t pack(float low, float high) const;

  __device__ __forceinline__ void store_pair(std::uint16_t* place, std::uint32_t pair) const {
    *reinterpret_cast<std::uint32_t*>(place) = pair;
  }

  // Eight numbers, two a pair, from or to memory aligned to 16 bytes.
  __device__ __forceinline__ void load_16_bytes(std::uint32_t (&pairs)[4], const std::uint16_t* place) const {
    const uint4 all = *reinterpret_cast<const uint4*>(place);
    pairs[0] = all.x;
    pairs[1] = all.y;
    pairs[2] = all.z;
    pairs[3] = all.w;
  }
  __device__ __forceinline__ void store_16_bytes(std::uint16_t* place, const std::uint32_t (&pairs)[4]) const {
    *reinterpret_cast<uint4*>(place) = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
  }

  // With is_there false zeros are copied, and nothing is read.
  __device__ __forceinline__ void copy_16_bytes(std::uint16_t* shared, const std::uint16_t* global,
                                                bool is_there) const {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
                 "r"(is_there ? 16 : 0)
                 : "memory");
  }

  __device__ __forceinline__ void commit_copies() const { asm volatile("cp.async.commit_group;" ::: "memory"); }

  // Until at most Pending of the groups that this thread committed are under way.
  template <int Pending>
  __device__ __forceinline__ void wait_for_copies() const {
    asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
  }

  // Four 8 x 8 matrices of 16-bit numbers from shared memory: lanes 8 m to 8 m + 7 give the rows of matrix m; of each
  // matrix a lane gets row l / 4, columns 2 (l mod 4) and the next (of its transpose, for the second).
  __device__ __forceinline__ void load_matrices(std::uint32_t (&part)[4], const std::uint16_t* row) const {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(part[0]), "=r"(part[1]), "=r"(part[2]), "=r"(part[3])
                 : "r"(shared_address(row))
                 : "memory");
  }

  __device__ __forceinline__ void load_matrices_transposed(std::uint32_t (&part)[4], const std::uint16_t* row) const {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(part[0]), "=r"(part[1]), "=r"(part[2]), "=r"(part[3])
                 : "r"(shared_address(row))
                 : "memory");
  }

  // c [16, 8] += a [16, 16] b [16, 8] on tensor cores, in float32.
  template <class Half>
  __device__ __forceinline__ void multiply_add(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                               std::uint32_t b1) const;

 private:
  __device__ __forceinline__ static std::uint32_t shared_address(const std::uint16_t* shared) {
    return static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  }
};

template <>
__device__ __forceinline__ float CudaLane::to_float<Bfloat16>(std::uint16_t bits) const {
  return __bfloat162float(__ushort_as_bfloat16(bits));
}

template <>
__device__ __forceinline__ float CudaLane::to_float<Float16>(std::uint16_t bits) const {
  return __half2float(__ushort_as_half(bits));
}

template <>
__device__ __forceinline__ std::uint32_t CudaLane::pack<Bfloat16>(float low, float high) const {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&pair);
}

template <>
__device__ __forceinline__ std::uint32_t CudaLane::pack<Float16>(float low, float high) const {
  const __half2 pair = __floats2half2_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&pair);
}

template <>
__device__ __forceinline__ void CudaLane::multiply_add<Bfloat16>(float (&c)[4], const std::uint32_t (&a)[4],
                                                                 std::uint32_t b0, std::uint32_t b1) const {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

template <>
__device__ __forceinline__ void CudaLane::multiply_add<Float16>(float (&c)[4], const std::uint32_t (&a)[4],
                                                                std::uint32_t b0, std::uint32_t b1) const {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

}  // namespace lookback::cuda
