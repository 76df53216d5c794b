#include "train/clipping.h"

#include <ATen/core/grad_mode.h>

#include <cmath>
#include <vector>

namespace lookback {

double clip_gradients(ParameterSet& parameters, double max_norm) {
  const at::NoGradGuard no_gradients;
  std::vector<at::Tensor> gradients;
  for (const auto& [name, parameter] : parameters.named()) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  if (gradients.empty()) return 0;
  const double norm = at::stack(at::_foreach_norm(gradients, 2)).norm().item<double>();
  constexpr double epsilon = 1e-6;
  const double scale = max_norm / (norm + epsilon);
  if (max_norm > 0 && std::isfinite(norm) && scale < 1) at::_foreach_mul_(gradients, scale);
  return norm;
}

}  // namespace lookback
