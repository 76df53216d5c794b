#include "kernels/cpu/chunk_attention_backward.h"
#include "kernels/cpu/chunk_attention_forward.h"
#include "kernels/cpu/kernel_table.h"

namespace lookback::simd {
namespace {

struct Avx512 {
  static constexpr int width = 16;
  static constexpr int vectors = 4;
};

}  // namespace

const KernelTable avx512_kernels = {
    chunk_attention_forward<Avx512>,
    chunk_attention_backward_heads<Avx512>,
    chunk_attention_backward_queries<Avx512>,
    chunk_attention_backward_chunks<Avx512>,
};

}  // namespace lookback::simd
