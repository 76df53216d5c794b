#include "kernels/cpu/chunk_attention_backward.h"
#include "kernels/cpu/chunk_attention_forward.h"
#include "kernels/cpu/kernel_table.h"

namespace lookback::simd {
namespace {

struct Portable {
  static constexpr int width = 4;
  static constexpr int vectors = 2;
};

}  // namespace

const KernelTable portable_kernels = {
    chunk_attention_forward<Portable>,
    chunk_attention_backward_heads<Portable>,
    chunk_attention_backward_queries<Portable>,
    chunk_attention_backward_chunks<Portable>,
};

}  // namespace lookback::simd
