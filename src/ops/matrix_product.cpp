#include "ops/matrix_product.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <string_view>

#include "kernels/simd_level.h"
#include "ops/kernel_tensors.h"

namespace lookback {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// oneDNN's product over plain tensors, which only the dispatcher knows: x [M, I], weight [O, I] -> [M, O].
using OneDnnLinear = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                                std::string_view, c10::List<std::optional<at::Scalar>>,
                                std::optional<std::string_view>);

std::optional<c10::TypedOperatorHandle<OneDnnLinear>> find_one_dnn() {
  const auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
  if (!found) return std::nullopt;
  return found->typed<OneDnnLinear>();
}

// MKL runs its AVX2 kernels on AMD's processors, whatever they have; oneDNN uses what it finds: twice as fast with
// AVX-512. Elsewhere MKL is as fast or faster.
const std::optional<c10::TypedOperatorHandle<OneDnnLinear>>& one_dnn() {
  static const auto handle =
      is_amd_processor() && best_simd_level() == SimdLevel::avx512 ? find_one_dnn() : std::nullopt;
  return handle;
}

// Below about 2 million multiplications its start takes longer than it saves.
bool one_dnn_is_faster(const at::Tensor& a, std::int64_t columns) {
  constexpr std::int64_t smallest_product = 2'000'000;
  return has_row_kernel(a) && a.numel() * columns >= smallest_product && one_dnn().has_value();
}

// Rows or columns contiguous and apart: others, such as an expanded gradient's, take oneDNN's slow path.
at::Tensor dense(const at::Tensor& matrix) {
  const bool rows = matrix.stride(1) == 1 && matrix.stride(0) >= matrix.size(1);
  const bool columns = matrix.stride(0) == 1 && matrix.stride(1) >= matrix.size(0);
  return rows || columns ? matrix : matrix.contiguous();
}

at::Tensor one_dnn_product(const at::Tensor& a, const at::Tensor& b_transposed) {
  return one_dnn()->call(dense(a), dense(b_transposed), std::nullopt, "none", c10::List<std::optional<at::Scalar>>(),
                         "");
}

// gradient [M, O] transposed times x [M, I] -> [O, I].
at::Tensor weight_gradient(const at::Tensor& gradient, const at::Tensor& x) {
  // Few rows and columns and a long sum are what oneDNN divides among threads less well than MKL.
  constexpr std::int64_t smallest_result = 1 << 16;
  if (gradient.size(1) * x.size(1) < smallest_result) return at::mm(gradient.t(), x);
  return one_dnn_product(x.t(), gradient.t()).t();
}

class Linear : public torch::autograd::Function<Linear> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight) {
    context->save_for_backward({x, weight});
    return one_dnn_product(x, weight);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& gradient = gradients[0];
    at::Tensor grad_x;
    at::Tensor grad_weight;
    if (context->needs_input_grad(0)) grad_x = matrix_product(gradient, saved[1]);
    if (context->needs_input_grad(1)) grad_weight = weight_gradient(gradient, saved[0]);
    return {grad_x, grad_weight};
  }
};

}  // namespace

at::Tensor matrix_product(const at::Tensor& a, const at::Tensor& b) {
  return one_dnn_is_faster(a, b.size(1)) ? one_dnn_product(a, b.t()) : at::mm(a, b);
}

void matrix_product_out(at::Tensor& out, const at::Tensor& a, const at::Tensor& b) {
  if (one_dnn_is_faster(a, b.size(1))) {
    out.copy_(one_dnn_product(a, b.t()));
  } else {
    at::mm_out(out, a, b);
  }
}

at::Tensor linear_projection(const at::Tensor& x, const at::Tensor& weight) {
  if (!one_dnn_is_faster(x, weight.size(0))) return at::linear(x, weight);
  const at::Tensor rows = x.flatten(0, -2);
  const at::Tensor product = needs_gradient({x, weight}) ? Linear::apply(rows, weight) : one_dnn_product(rows, weight);
  return product.unflatten(0, x.sizes().slice(0, x.dim() - 1));
}

}  // namespace lookback
