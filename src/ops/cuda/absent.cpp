// What a build without a CUDA compiler has in place of the other files here: has_cuda_kernel() and
// has_cuda_cross_entropy() keep everyone from the rest.
#include "core/error.h"
#include "ops/cuda_attention.h"
#include "ops/cuda_cross_entropy.h"

namespace lookback {
namespace {

[[noreturn]] void fail_absent() { fail("the GPU's kernels are not in this build: it had no CUDA compiler"); }

}  // namespace

bool has_cuda_kernel(const at::Tensor& /*query*/) { return false; }

at::Tensor cuda_chunk_attention_forward(const at::Tensor& /*query*/, const at::Tensor& /*key*/,
                                        const at::Tensor& /*value*/, const at::Tensor& /*indices*/,
                                        const at::Tensor& /*weights*/, double /*softmax_scale*/,
                                        bool /*softmax_plus_one*/) {
  fail_absent();
}

ChunkAttentionGrads cuda_chunk_attention_backward(const at::Tensor& /*grad_output*/, const at::Tensor& /*query*/,
                                                  const at::Tensor& /*key*/, const at::Tensor& /*value*/,
                                                  const at::Tensor& /*indices*/, const at::Tensor& /*weights*/,
                                                  double /*softmax_scale*/, bool /*softmax_plus_one*/,
                                                  bool /*chunks*/) {
  fail_absent();
}

SlidingWindowForward cuda_sliding_window_forward(const at::Tensor& /*query*/, const at::Tensor& /*key*/,
                                                 const at::Tensor& /*value*/, std::int64_t /*window_size*/) {
  fail_absent();
}

SlidingWindowGrads cuda_sliding_window_backward(const at::Tensor& /*grad_output*/, const at::Tensor& /*query*/,
                                                const at::Tensor& /*key*/, const at::Tensor& /*value*/,
                                                const SlidingWindowForward& /*forward*/, std::int64_t /*window_size*/,
                                                bool /*keys*/) {
  fail_absent();
}

bool has_cuda_cross_entropy(const at::Tensor& /*hidden*/) { return false; }

std::int64_t padded_classes(std::int64_t num_classes) { return num_classes; }

void cuda_cross_entropy(at::Tensor& /*logits*/, std::int64_t /*num_classes*/, const at::Tensor& /*labels*/,
                        const at::Tensor& /*factors*/, at::Tensor& /*losses*/) {
  fail_absent();
}

}  // namespace lookback
