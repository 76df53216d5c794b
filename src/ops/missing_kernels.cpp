#include "ops/missing_kernels.h"

#include <fmt/core.h>

#include "ops/cuda_attention.h"

namespace lookback {

std::string missing_kernels(at::Device device, at::ScalarType dtype, std::int64_t head_dim) {
  if (device.is_cpu()) {
    if (dtype == at::kFloat) return "";
    return "bfloat16 on the CPU runs without kernels of its own, slower: dtype float32 has them";
  }
  constexpr const char* slow = "attention runs without kernels of its own here, slower and with more memory";
  if (dtype != at::kBFloat16 && dtype != at::kHalf) return fmt::format("{}: dtype bfloat16 has them", slow);
  if (head_dim % 8 != 0 || head_dim > 256) {
    return fmt::format("{}: they take heads of a multiple of 8 up to 256, and this model's have {}", slow, head_dim);
  }
  if (has_cuda_kernel(at::empty({head_dim}, at::TensorOptions(device).dtype(dtype)))) return "";
  return fmt::format("{}: they take a build with the CUDA compiler, and a card of compute capability 8.0 or later",
                     slow);
}

}  // namespace lookback
