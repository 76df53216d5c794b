#include "ops/silu_and_mul.h"

#include <torch/csrc/autograd/custom_function.h>

#include "kernels/silu_and_mul.h"
#include "ops/kernel_tensors.h"
#include "ops/tensor_checks.h"

namespace lookback {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// An exponential and a division count for more than their name.
constexpr double silu_flops_per_element = 32;

SiluAndMulParams make_params(const at::Tensor& gate, const at::Tensor& up) {
  return {gate.const_data_ptr<float>(), up.const_data_ptr<float>()};
}

at::Tensor run_forward(const at::Tensor& gate, const at::Tensor& up) {
  at::Tensor output = at::empty(gate.sizes(), gate.options());
  const SiluAndMulParams params = make_params(gate, up);
  parallel_with_scratch(gate.numel(), silu_flops_per_element, 0, [&](auto first, auto last, float*) {
    silu_and_mul_forward(params, output.mutable_data_ptr<float>(), first, last);
  });
  return output;
}

// gate and up are contiguous.
class SiluAndMulOperation : public torch::autograd::Function<SiluAndMulOperation> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate, const at::Tensor& up) {
    context->save_for_backward({gate, up});
    return run_forward(gate, up);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grad_outputs) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor grad_output = grad_outputs[0].contiguous();
    variable_list grads = {at::empty(saved[0].sizes(), saved[0].options()),
                           at::empty(saved[1].sizes(), saved[1].options())};
    const SiluAndMulParams params = make_params(saved[0], saved[1]);
    const SiluAndMulGradients gradients{.grad_output = grad_output.const_data_ptr<float>(),
                                        .grad_gate = grads[0].mutable_data_ptr<float>(),
                                        .grad_up = grads[1].mutable_data_ptr<float>()};
    parallel_with_scratch(saved[0].numel(), silu_flops_per_element, 0, [&](auto first, auto last, float*) {
      silu_and_mul_backward(params, gradients, first, last);
    });
    return grads;
  }
};

}  // namespace

at::Tensor silu_and_mul(const at::Tensor& gate, const at::Tensor& up) {
  require(gate.defined() && up.defined(), "gate, up: expected two tensors");
  check_floating(gate, "gate");
  check_same_kind(up, gate, "up", "gate");
  require(up.sizes() == gate.sizes(), "up: expected the shape of gate [{}], found [{}]", fmt::join(gate.sizes(), ", "),
          fmt::join(up.sizes(), ", "));
  if (has_row_kernel(gate)) {
    const at::Tensor gates = gate.contiguous();
    const at::Tensor ups = up.contiguous();
    return needs_gradient({gate, up}) ? SiluAndMulOperation::apply(gates, ups) : run_forward(gates, ups);
  }
  return at::silu(gate) * up;
}

}  // namespace lookback
