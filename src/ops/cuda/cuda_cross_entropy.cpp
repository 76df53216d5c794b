#include "ops/cuda_cross_entropy.h"

#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "kernels/cuda/cross_entropy.h"
#include "ops/composed_operators.h"
#include "ops/cuda/cuda_calls.h"

namespace lookback {

bool has_cuda_cross_entropy(const at::Tensor& hidden) {
  return hidden.is_cuda() && is_half(hidden) && !ComposedOperators::active() &&
         at::cuda::getDeviceProperties(hidden.get_device())->major >= 8;
}

std::int64_t padded_classes(std::int64_t num_classes) {
  constexpr std::int64_t unit = 64;  // 128 bytes
  return (num_classes + unit - 1) / unit * unit;
}

void cuda_cross_entropy(at::Tensor& logits, std::int64_t num_classes, const at::Tensor& labels,
                        const at::Tensor& factors, at::Tensor& losses) {
  const c10::cuda::CUDAGuard device(logits.device());
  const cuda::CrossEntropyRows params{.num_rows = logits.size(0),
                                      .num_classes = num_classes,
                                      .row_stride = logits.size(1),
                                      .logits = mutable_bits(logits),
                                      .labels = labels.const_data_ptr<std::int64_t>(),
                                      .losses = losses.mutable_data_ptr<float>(),
                                      .factors = factors.defined() ? factors.const_data_ptr<float>() : nullptr};
  require_started(cross_entropy(params, half_type(logits), c10::cuda::getCurrentCUDAStream()), "cross-entropy");
}

}  // namespace lookback
