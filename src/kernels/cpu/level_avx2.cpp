#include "kernels/cpu/chunk_attention_backward.h"
#include "kernels/cpu/chunk_attention_forward.h"
#include "kernels/cpu/kernel_table.h"

namespace lookback::simd {
namespace {

struct Avx2 {
  static constexpr int width = 8;
  static constexpr int vectors = 2;
};

}  // namespace

const KernelTable avx2_kernels = {
    chunk_attention_forward<Avx2>,
    chunk_attention_backward_heads<Avx2>,
    chunk_attention_backward_queries<Avx2>,
    chunk_attention_backward_chunks<Avx2>,
};

}  // namespace lookback::simd
