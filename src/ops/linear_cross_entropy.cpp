#include "ops/linear_cross_entropy.h"

#include <fmt/ranges.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "kernels/cross_entropy.h"
#include "ops/cuda_cross_entropy.h"
#include "ops/kernel_tensors.h"
#include "ops/matrix_product.h"
#include "ops/tensor_checks.h"

namespace lookback {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::int64_t ignored = -100;

// Fills losses [M]; with factors [M] the logits [M, V] become the loss's gradient, factor (softmax - one-hot of the
// label), else they are used up.
void composed_rows(at::Tensor& logits, const at::Tensor& labels, const at::Tensor& factors, at::Tensor& losses) {
  const at::Tensor counted = labels.ne(ignored);
  const at::Tensor targets = labels.masked_fill(counted.logical_not(), 0).unsqueeze(1);
  at::Tensor log_probabilities = at::log_softmax(logits, -1);
  losses.copy_(log_probabilities.gather(1, targets).squeeze(1).neg_().mul_(counted));
  if (!factors.defined()) return;
  const at::Tensor counted_factors = (factors * counted).unsqueeze(1);
  logits = log_probabilities.exp_().mul_(counted_factors);
  logits.scatter_add_(1, targets, -counted_factors);
}

void kernel_rows(const at::Tensor& logits, const at::Tensor& labels, const at::Tensor& factors,
                 const at::Tensor& losses) {
  // An exponential and four passes count for more than their name.
  constexpr double flops_per_element = 32;
  const CrossEntropyParams params{.num_classes = logits.size(1),
                                  .logits = logits.mutable_data_ptr<float>(),
                                  .labels = labels.const_data_ptr<std::int64_t>(),
                                  .losses = losses.mutable_data_ptr<float>(),
                                  .factors = factors.defined() ? factors.const_data_ptr<float>() : nullptr};
  parallel_with_scratch(logits.size(0), flops_per_element * static_cast<double>(params.num_classes), 0,
                        [&](auto first, auto last, float*) { cross_entropy_rows(params, first, last); });
}

// Rows of zeros behind the matrix's own until there are num_rows.
at::Tensor with_rows(const at::Tensor& matrix, std::int64_t num_rows) {
  return matrix.size(0) == num_rows ? matrix : at::constant_pad_nd(matrix, {0, 0, 0, num_rows - matrix.size(0)});
}

class Operation : public torch::autograd::Function<Operation> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& hidden, const at::Tensor& weight,
                               const at::Tensor& labels, const at::Tensor& loss_weights, bool with_gradients) {
    const at::ScalarType sum_type = hidden.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    // On a GPU logits and their gradient keep hidden's 16-bit type, and have as many columns as make products fast.
    const bool on_gpu = has_cuda_cross_entropy(hidden);
    const at::ScalarType logit_type = on_gpu ? hidden.scalar_type() : sum_type;
    const std::int64_t num_classes = weight.size(0);
    const std::int64_t num_columns = on_gpu ? padded_classes(num_classes) : num_classes;
    const at::Tensor matrix = with_rows(weight.to(hidden.scalar_type()), num_columns);
    const at::Tensor all_labels = labels.contiguous();
    const at::Tensor factors = loss_weights.to(sum_type).contiguous();
    const at::Tensor token_losses = at::empty({hidden.size(0)}, hidden.options().dtype(sum_type));
    at::Tensor grad_hidden;
    at::Tensor grad_weight;
    if (with_gradients) {
      grad_hidden = at::empty_like(hidden);
      grad_weight = at::zeros(matrix.sizes(), matrix.options().dtype(sum_type));
    }
    const auto row_bytes = num_columns * static_cast<std::int64_t>(on_gpu ? sizeof(at::BFloat16) : sizeof(float));
    const std::int64_t step = std::max<std::int64_t>(1, intermediate_bytes(hidden) / row_bytes);
    for (std::int64_t first = 0; first < hidden.size(0); first += step) {
      const auto part = [first, count = std::min(step, hidden.size(0) - first)](const at::Tensor& whole) {
        return whole.narrow(0, first, count);
      };
      const at::Tensor rows = part(hidden);
      at::Tensor logits = matrix_product(rows, matrix.t()).to(logit_type);
      at::Tensor losses = part(token_losses);
      const at::Tensor some_factors = with_gradients ? part(factors) : at::Tensor();
      if (on_gpu) {
        cuda_cross_entropy(logits, num_classes, part(all_labels), some_factors, losses);
      } else if (has_row_kernel(logits)) {
        kernel_rows(logits, part(all_labels), some_factors, losses);
      } else {
        composed_rows(logits, part(all_labels), some_factors, losses);
      }
      if (!with_gradients) continue;
      const at::Tensor grad_logits = logits.to(hidden.scalar_type());
      at::Tensor some_grad_hidden = part(grad_hidden);
      matrix_product_out(some_grad_hidden, grad_logits, matrix);
      if (on_gpu) {
        at::addmm_out(grad_weight, grad_weight, grad_logits.t(), rows, at::kFloat);
      } else {
        grad_weight.add_(matrix_product(grad_logits.t(), rows));
      }
    }
    if (with_gradients) {
      context->save_for_backward({grad_hidden, grad_weight.narrow(0, 0, num_classes).to(weight.scalar_type())});
    }
    context->mark_non_differentiable({token_losses});
    return {(token_losses * factors).sum(), token_losses};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto scaled = [&gradients](const at::Tensor& gradient) {
      return gradient * gradients[0].to(gradient.scalar_type());
    };
    return {scaled(saved[0]), scaled(saved[1]), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

LinearCrossEntropy linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels,
                                        const at::Tensor& loss_weights) {
  check_dimensions(hidden, 2, "hidden", "[M, d]");
  check_dimensions(weight, 2, "weight", "[V, d]");
  check_dimensions(labels, 1, "labels", "[M]");
  check_floating(hidden, "hidden");
  check_size(weight, 1, hidden.size(1), "weight", "[V, d]");
  check_size(labels, 0, hidden.size(0), "labels", "[M]");
  require(labels.scalar_type() == at::kLong, "labels: expected int64, found {}", c10::toString(labels.scalar_type()));
  const at::Tensor counted = labels.ne(ignored);
  if (labels.is_cpu() && labels.numel() > 0) {  // a GPU's kernels check them, and nobody waits for the answer
    const auto [smallest, largest] = at::aminmax(labels.masked_fill(counted.logical_not(), 0));
    require(smallest.item<std::int64_t>() >= 0 && largest.item<std::int64_t>() < weight.size(0),
            "labels: expected 0 to {} or -100, found {} to {}", weight.size(0) - 1, smallest.item<std::int64_t>(),
            largest.item<std::int64_t>());
  }
  at::Tensor factors = loss_weights;
  if (factors.defined()) {
    require(factors.sizes() == labels.sizes(), "loss_weights: expected the shape of labels [{}], found [{}]",
            fmt::join(labels.sizes(), ", "), fmt::join(factors.sizes(), ", "));
  } else {
    factors = counted.to(at::kFloat).div_(counted.sum().clamp_min(1));
  }
  const bool with_gradients = at::GradMode::is_enabled() && (hidden.requires_grad() || weight.requires_grad());
  const variable_list outputs = Operation::apply(hidden, weight, labels, factors, with_gradients);
  return {outputs[0], outputs[1]};
}

}  // namespace lookback
