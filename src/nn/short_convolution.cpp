#include "nn/short_convolution.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>

namespace lookback {

ShortConvolution make_short_convolution(ParameterSet& parameters, const std::string& name, std::int64_t width,
                                        std::int64_t size, double first_weight) {
  const at::Tensor weight = parameters.add(name, {width - 1, size}, {Initializer::Kind::normal, 0.1});
  const at::NoGradGuard no_gradients;
  weight[0].add_(first_weight);
  return {weight};
}

at::Tensor short_convolution(const ShortConvolution& convolution, const at::Tensor& x) {
  const at::Tensor weight = convolution.weight.to(x.scalar_type());
  const std::int64_t length = x.size(-2);
  at::Tensor sum;
  for (std::int64_t j = 1; j <= std::min(convolution.reach(), length - 1); ++j) {
    const at::Tensor moved = at::constant_pad_nd(x.narrow(-2, 0, length - j) * weight[j - 1], {0, 0, j, 0});
    sum = sum.defined() ? sum + moved : moved;
  }
  return sum.defined() ? sum : at::zeros_like(x);
}

at::Tensor short_convolution(const ShortConvolution& convolution, const at::Tensor& x,
                             const std::vector<ConvolvedRows>& sequences) {
  std::vector<at::Tensor> mixed;
  for (const ConvolvedRows& one : sequences) {
    const std::int64_t num_before = one.before->size(0);
    const at::Tensor rows = at::cat({*one.before, x.narrow(0, one.first_row, one.num_rows)});
    mixed.push_back(short_convolution(convolution, rows).narrow(0, num_before, one.num_rows));
    const std::int64_t kept = std::min(convolution.reach(), rows.size(0));
    *one.before = rows.narrow(0, rows.size(0) - kept, kept).clone();
  }
  return mixed.size() == 1 ? mixed.front() : at::cat(mixed);
}

}  // namespace lookback
