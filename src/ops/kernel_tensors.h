// Between tensors and kernels.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "kernels/sequence_rows.h"
#include "ops/composed_operators.h"
#include "ops/parallel.h"

namespace lookback {

// Whether the kernels that work row by row or element by element take such a tensor.
inline bool has_row_kernel(const at::Tensor& x) {
  return x.is_cpu() && x.scalar_type() == at::kFloat && x.numel() > 0 && !ComposedOperators::active();
}

// The head dimensions that attention's kernels take.
inline bool has_kernel_head_dim(std::int64_t head_dim) { return head_dim % 8 == 0 && head_dim <= 256; }

// Whether attention's kernels take such a query [..., D].
inline bool has_kernel(const at::Tensor& query) { return has_row_kernel(query) && has_kernel_head_dim(query.size(-1)); }

// What an operator that works piece by piece holds of intermediate results at one time: a GPU needs larger pieces to be
// busy, and has the memory.
inline std::int64_t intermediate_bytes(const at::Tensor& tensor) {
  return std::int64_t{tensor.is_cuda() ? 256 : 32} << 20;
}

// The tensor itself where its last dimension is contiguous, else a copy.
inline at::Tensor with_contiguous_rows(const at::Tensor& tensor) {
  return tensor.stride(-1) == 1 ? tensor : tensor.contiguous();
}

// The rows [N, T, heads, D] of a float32 tensor on the CPU, whose rows are contiguous.
inline SequenceRows sequence_rows(const at::Tensor& rows) {
  return {rows.const_data_ptr<float>(), rows.stride(0), rows.stride(1), rows.stride(2)};
}

// Whether autograd will want the operator's backward.
inline bool needs_gradient(std::initializer_list<at::Tensor> inputs) {
  return at::GradMode::is_enabled() &&
         std::any_of(inputs.begin(), inputs.end(), [](const at::Tensor& input) { return input.requires_grad(); });
}

// Attention's backward: one pass over key heads takes 5 matrix products a tile but may leave threads without work; two
// passes, over queries and over keys, take 7.
inline bool one_pass_is_faster(std::int64_t num_heads) {
  const std::int64_t num_threads = at::get_num_threads();
  const std::int64_t rounds = (num_heads + num_threads - 1) / num_threads;
  return 5 * rounds * num_threads <= 7 * num_heads;
}

}  // namespace lookback
