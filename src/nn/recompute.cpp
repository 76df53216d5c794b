#include "nn/recompute.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

namespace lookback {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A function as a value that autograd can keep between forward and backward.
struct FunctionHolder : torch::CustomClassHolder {
  explicit FunctionHolder(TensorFunction held) : function(std::move(held)) {}
  TensorFunction function;
};

class Recompute : public torch::autograd::Function<Recompute> {
 public:
  static variable_list forward(AutogradContext* context, at::TensorList inputs,
                               const c10::intrusive_ptr<FunctionHolder>& holder) {
    context->saved_data["function"] = at::IValue::make_capsule(holder);
    context->save_for_backward(inputs.vec());
    return {holder->function(inputs.vec())};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto holder = c10::static_intrusive_pointer_cast<FunctionHolder>(context->saved_data["function"].toCapsule());
    variable_list inputs;
    for (const at::Tensor& saved : context->get_saved_variables()) {
      inputs.push_back(saved.detach().set_requires_grad(saved.requires_grad()));
    }
    at::Tensor output;
    {
      const at::AutoGradMode with_gradients(true);
      output = holder->function(inputs);
    }
    // Also adds to the gradients of the parameters inside, which are leaves.
    torch::autograd::backward({output}, {gradients[0]});
    variable_list input_gradients;
    for (const at::Tensor& input : inputs) {
      input_gradients.push_back(input.requires_grad() ? input.grad() : at::Tensor());
    }
    input_gradients.emplace_back();  // for the function
    return input_gradients;
  }
};

}  // namespace

at::Tensor recompute_in_backward(const TensorFunction& function, const std::vector<at::Tensor>& inputs) {
  return Recompute::apply(at::TensorList(inputs), c10::make_intrusive<FunctionHolder>(function))[0];
}

}  // namespace lookback
