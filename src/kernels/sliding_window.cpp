#include "kernels/sliding_window.h"

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/window_blocks.h"

namespace lookback {

std::int64_t sliding_window_forward_items(const SlidingWindowParams& params) {
  return params.batch_size * params.num_heads * simd::num_query_blocks(params);
}

std::int64_t sliding_window_forward_scratch(const SlidingWindowParams& params) {
  if (params.num_queries == 1) {
    const std::int64_t seen = simd::smaller(params.num_past, params.window_size) + 1;
    return params.num_heads * (params.head_dim + simd::in_eights(seen));
  }
  const std::int64_t side = simd::window_block(params);
  return side * (4 * params.head_dim + side + 3);
}

void sliding_window_forward(const SlidingWindowParams& params, std::int64_t first, std::int64_t last, float* scratch,
                            SimdLevel level) {
  simd::kernels_of(level).sliding_window_forward(params, first, last, scratch);
}

std::int64_t sliding_window_backward_scratch(const SlidingWindowParams& params) {
  const std::int64_t side = simd::window_block(params);
  return side * (7 * params.head_dim + 2 * side + 2);
}

void sliding_window_backward_heads(const SlidingWindowParams& params, const SlidingWindowGradients& gradients,
                                   std::int64_t first, std::int64_t last, float* scratch, SimdLevel level) {
  simd::kernels_of(level).sliding_window_backward_heads(params, gradients, first, last, scratch);
}

void sliding_window_backward_queries(const SlidingWindowParams& params, const SlidingWindowGradients& gradients,
                                     std::int64_t first, std::int64_t last, float* scratch, SimdLevel level) {
  simd::kernels_of(level).sliding_window_backward_queries(params, gradients, first, last, scratch);
}

std::int64_t sliding_window_key_items(const SlidingWindowParams& params) {
  return params.batch_size * params.num_kv_heads * simd::num_key_blocks(params);
}

void sliding_window_backward_keys(const SlidingWindowParams& params, const SlidingWindowGradients& gradients,
                                  std::int64_t first, std::int64_t last, float* scratch, SimdLevel level) {
  simd::kernels_of(level).sliding_window_backward_keys(params, gradients, first, last, scratch);
}

}  // namespace lookback
