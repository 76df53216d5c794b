#include "ops/rotary.h"

#include <torch/csrc/autograd/custom_function.h>

#include "kernels/rotary.h"
#include "ops/kernel_tensors.h"
#include "ops/tensor_checks.h"

namespace lookback {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor rotate(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine, float direction) {
  const at::Tensor rows = x.contiguous();
  at::Tensor output = at::empty(rows.sizes(), rows.options());
  const RotaryParams params{.num_rows = x.size(0) * x.size(1),
                            .num_positions = x.size(1),
                            .num_heads = x.size(2),
                            .head_dim = x.size(3),
                            .x = rows.const_data_ptr<float>(),
                            .cosine = cosine.const_data_ptr<float>(),
                            .sine = sine.const_data_ptr<float>(),
                            .direction = direction,
                            .output = output.mutable_data_ptr<float>()};
  constexpr double flops_per_element = 4;
  parallel_with_scratch(params.num_rows, flops_per_element * static_cast<double>(params.num_heads * params.head_dim), 0,
                        [&](auto first, auto last, float*) { rotary_rows(params, first, last); });
  return output;
}

class RotaryOperation : public torch::autograd::Function<RotaryOperation> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& cosine,
                            const at::Tensor& sine) {
    context->save_for_backward({cosine, sine});
    return rotate(x, cosine, sine, 1);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grad_outputs) {
    const variable_list saved = context->get_saved_variables();
    return {rotate(grad_outputs[0], saved[0], saved[1], -1), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

RotaryTable make_rotary_table(const at::Tensor& positions, std::int64_t head_dim, double theta,
                              const at::TensorOptions& options) {
  const at::TensorOptions precise = options.dtype(at::kDouble);
  const at::Tensor exponents = at::arange(0, head_dim, 2, precise) / static_cast<double>(head_dim);
  const at::Tensor angles = positions.to(precise).unsqueeze(1) * at::pow(theta, exponents).reciprocal();
  const at::Tensor both = at::cat({angles, angles}, -1);
  return {both.cos().to(options), both.sin().to(options)};
}

RotaryTable make_rotary_table(std::int64_t num_positions, std::int64_t head_dim, double theta,
                              const at::TensorOptions& options) {
  return make_rotary_table(at::arange(num_positions, options.dtype(at::kLong)), head_dim, theta, options);
}

at::Tensor rotary(const at::Tensor& x, const RotaryTable& table) {
  check_dimensions(x, 4, "x", "[M, P, H, D]");
  check_floating(x, "x");
  for (const at::Tensor& angles : {table.cosine, table.sine}) {
    check_dimensions(angles, 2, "table", "[P, D]");
    check_size(angles, 0, x.size(1), "table", "[P, D]");
    check_size(angles, 1, x.size(3), "table", "[P, D]");
    check_same_kind(angles, x, "table", "x");
  }
  require(x.size(3) % 2 == 0, "x: expected an even number of elements a head, found {}", x.size(3));
  if (has_row_kernel(x)) {
    const at::Tensor cosine = table.cosine.contiguous();
    const at::Tensor sine = table.sine.contiguous();
    return needs_gradient({x}) ? RotaryOperation::apply(x, cosine, sine) : rotate(x, cosine, sine, 1);
  }
  const std::int64_t half = x.size(-1) / 2;
  const at::Tensor turned = at::cat({-x.narrow(-1, half, half), x.narrow(-1, 0, half)}, -1);
  return x * table.cosine.unsqueeze(1) + turned * table.sine.unsqueeze(1);
}

}  // namespace lookback
