#include "ops/rms_norm.h"

#include <torch/csrc/autograd/custom_function.h>

#include "kernels/rms_norm.h"
#include "ops/kernel_tensors.h"
#include "ops/tensor_checks.h"

namespace lookback {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Both directions read and write each element once or twice and compute little.
constexpr double flops_per_element = 8;

RmsNormParams make_params(const at::Tensor& x, const at::Tensor& weight, double eps, const at::Tensor& rstd) {
  return {.num_rows = rstd.numel(),
          .size = weight.numel(),
          .eps = static_cast<float>(eps),
          .x = x.const_data_ptr<float>(),
          .weight = weight.const_data_ptr<float>(),
          .rstd = rstd.mutable_data_ptr<float>()};
}

struct Forward {
  at::Tensor output, rstd;
};

Forward run_forward(const at::Tensor& x, const at::Tensor& weight, double eps) {
  Forward result{at::empty(x.sizes(), x.options()), at::empty({x.numel() / weight.numel()}, x.options())};
  RmsNormParams params = make_params(x, weight, eps, result.rstd);
  params.output = result.output.mutable_data_ptr<float>();
  parallel_with_scratch(params.num_rows, flops_per_element * static_cast<double>(params.size), 0,
                        [&](auto first, auto last, float*) { rms_norm_forward(params, first, last); });
  return result;
}

// x and weight are contiguous.
class RmsNormOperation : public torch::autograd::Function<RmsNormOperation> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, double eps) {
    const Forward result = run_forward(x, weight, eps);
    context->save_for_backward({x, weight, result.rstd});
    context->saved_data["eps"] = eps;
    return result.output;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grad_outputs) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor grad_output = grad_outputs[0].contiguous();
    const RmsNormParams params = make_params(saved[0], saved[1], context->saved_data["eps"].toDouble(), saved[2]);
    const std::int64_t num_blocks = (params.num_rows + rms_norm_block_rows - 1) / rms_norm_block_rows;
    const at::Tensor grad_x = at::empty(saved[0].sizes(), saved[0].options());
    const at::Tensor grad_weight = at::empty({num_blocks, params.size}, saved[0].options());
    const RmsNormGradients gradients{.grad_output = grad_output.const_data_ptr<float>(),
                                     .grad_x = grad_x.mutable_data_ptr<float>(),
                                     .grad_weight = grad_weight.mutable_data_ptr<float>()};
    parallel_with_scratch(num_blocks, flops_per_element * static_cast<double>(rms_norm_block_rows * params.size), 0,
                          [&](auto first, auto last, float*) { rms_norm_backward(params, gradients, first, last); });
    return {grad_x, grad_weight.sum(0), at::Tensor()};
  }
};

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  check_dimensions(weight, 1, "weight", "[d]");
  require(x.defined() && x.dim() > 0 && x.size(-1) == weight.size(0), "x: expected [..., {}], found [{}]",
          weight.size(0), x.defined() ? fmt::to_string(fmt::join(x.sizes(), ", ")) : "");
  check_floating(x, "x");
  check_floating(weight, "weight");
  require(x.device() == weight.device(), "weight: expected on the device of x ({}), found on {}", x.device().str(),
          weight.device().str());
  if (has_row_kernel(x) && has_row_kernel(weight)) {
    const at::Tensor rows = x.contiguous();
    const at::Tensor scale = weight.contiguous();
    if (!needs_gradient({x, weight})) return run_forward(rows, scale, eps).output;
    return RmsNormOperation::apply(rows, scale, eps);
  }
  const at::ScalarType type = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return at::rms_norm(x.to(type), weight.sizes(), weight.to(type), eps).to(x.scalar_type());
}

}  // namespace lookback
