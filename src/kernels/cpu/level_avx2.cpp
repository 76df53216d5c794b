#include "kernels/cpu/chunk_attention_backward.h"
#include "kernels/cpu/chunk_attention_forward.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/sliding_window_backward.h"
#include "kernels/cpu/sliding_window_forward.h"

namespace lookback::simd {
namespace {

struct Avx2 {
  static constexpr int width = 8;
  static constexpr int vectors = 2;
};

}  // namespace

const KernelTable avx2_kernels = {
    .chunk_attention_forward = chunk_attention_forward<Avx2>,
    .chunk_attention_backward_heads = chunk_attention_backward_heads<Avx2>,
    .chunk_attention_backward_queries = chunk_attention_backward_queries<Avx2>,
    .chunk_attention_backward_chunks = chunk_attention_backward_chunks<Avx2>,
    .sliding_window_forward = sliding_window_forward<Avx2>,
    .sliding_window_backward_heads = sliding_window_backward_heads<Avx2>,
    .sliding_window_backward_queries = sliding_window_backward_queries<Avx2>,
    .sliding_window_backward_keys = sliding_window_backward_keys<Avx2>,
};

}  // namespace lookback::simd
