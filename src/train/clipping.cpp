#include "train/clipping.h"

#include <ATen/core/grad_mode.h>

#include <vector>

namespace lookback {

at::Tensor clip_gradients(ParameterSet& parameters, double max_norm) {
  const at::NoGradGuard no_gradients;
  std::vector<at::Tensor> gradients;
  for (const auto& [name, parameter] : parameters.named()) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  if (gradients.empty()) return at::zeros({}, at::TensorOptions(at::kFloat).device(parameters.device()));
  const at::Tensor norm = at::stack(at::_foreach_norm(gradients, 2)).norm();
  if (max_norm <= 0) return norm;
  constexpr double epsilon = 1e-6;
  const at::Tensor in_double = norm.to(at::kDouble);
  const at::Tensor scale = at::full_like(in_double, max_norm).div_(in_double + epsilon).clamp_max_(1);
  at::_foreach_mul_(gradients, scale.masked_fill_(norm.isfinite().logical_not_(), 1).to(norm.scalar_type()));
  return norm;
}

}  // namespace lookback
