#include "ops/sliding_window_attention.h"

#include <fmt/ranges.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "kernels/sliding_window.h"
#include "ops/cuda_attention.h"
#include "ops/kernel_tensors.h"
#include "ops/sliding_window_attention_composed.h"
#include "ops/tensor_checks.h"

namespace lookback {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The tensors' rows are contiguous. output and softmax_lse are written by forward and read by backward.
SlidingWindowParams make_params(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                std::int64_t window_size, PositionBias position_bias, const at::Tensor& output,
                                const at::Tensor& softmax_lse) {
  return {.batch_size = query.size(0),
          .num_queries = query.size(1),
          .num_past = key.size(1) - query.size(1),
          .num_heads = query.size(2),
          .num_kv_heads = key.size(2),
          .head_dim = query.size(3),
          .window_size = window_size,
          .position_bias = position_bias,
          .softmax_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(query.size(3)))),
          .query = sequence_rows(query),
          .key = sequence_rows(key),
          .value = sequence_rows(value),
          .output = output.mutable_data_ptr<float>(),
          .softmax_lse = softmax_lse.mutable_data_ptr<float>()};
}

// Of one product of all query rows over their windows.
double product_flops(const SlidingWindowParams& params) {
  const std::int64_t num_keys = std::min(params.window_size + 1, params.num_past + params.num_queries);
  return 2.0 * static_cast<double>(params.batch_size * params.num_heads * params.num_queries) *
         static_cast<double>(num_keys * params.head_dim);
}

SlidingWindowForward run_forward(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                 std::int64_t window_size, PositionBias position_bias) {
  if (has_cuda_kernel(query)) return cuda_sliding_window_forward(query, key, value, window_size, position_bias);
  SlidingWindowForward result{at::empty(query.sizes(), query.options()),
                              at::empty({query.size(0), query.size(2), query.size(1)}, query.options())};
  const at::Tensor query_rows = with_contiguous_rows(query);
  const at::Tensor key_rows = with_contiguous_rows(key);
  const at::Tensor value_rows = with_contiguous_rows(value);
  const SlidingWindowParams params =
      make_params(query_rows, key_rows, value_rows, window_size, position_bias, result.output, result.softmax_lse);
  const std::int64_t num_items = sliding_window_forward_items(params);
  parallel_with_scratch(
      num_items, 2 * product_flops(params) / static_cast<double>(num_items), sliding_window_forward_scratch(params),
      [&](auto first, auto last, float* scratch) { sliding_window_forward(params, first, last, scratch); });
  return result;
}

void backward_by_heads(const SlidingWindowParams& params, const SlidingWindowGradients& gradients) {
  const std::int64_t num_items = params.batch_size * params.num_kv_heads;
  parallel_with_scratch(num_items, 5 * product_flops(params) / static_cast<double>(num_items),
                        sliding_window_backward_scratch(params), [&](auto first, auto last, float* scratch) {
                          sliding_window_backward_heads(params, gradients, first, last, scratch);
                        });
}

void backward_of_queries(const SlidingWindowParams& params, const SlidingWindowGradients& gradients) {
  const std::int64_t num_items = sliding_window_forward_items(params);
  parallel_with_scratch(num_items, 3 * product_flops(params) / static_cast<double>(num_items),
                        sliding_window_backward_scratch(params), [&](auto first, auto last, float* scratch) {
                          sliding_window_backward_queries(params, gradients, first, last, scratch);
                        });
}

void backward_of_keys(const SlidingWindowParams& params, const SlidingWindowGradients& gradients) {
  const std::int64_t num_items = sliding_window_key_items(params);
  parallel_with_scratch(num_items, 4 * product_flops(params) / static_cast<double>(num_items),
                        sliding_window_backward_scratch(params), [&](auto first, auto last, float* scratch) {
                          sliding_window_backward_keys(params, gradients, first, last, scratch);
                        });
}

class SlidingWindowAttention : public torch::autograd::Function<SlidingWindowAttention> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value, std::int64_t window_size, PositionBias position_bias) {
    const SlidingWindowForward result = run_forward(query, key, value, window_size, position_bias);
    context->save_for_backward({query, key, value, result.output, result.softmax_lse});
    context->saved_data["window"] = window_size;
    context->saved_data["bias"] = static_cast<std::int64_t>(position_bias);
    return result.output;
  }

  static variable_list backward(AutogradContext* context, variable_list grad_outputs) {
    const variable_list saved = context->get_saved_variables();
    const SlidingWindowGrads grads = sliding_window_attention_backward(
        grad_outputs[0], saved[0], saved[1], saved[2], {saved[3], saved[4]}, context->saved_data["window"].toInt(),
        static_cast<PositionBias>(context->saved_data["bias"].toInt()), context->needs_input_grad(0),
        context->needs_input_grad(1) || context->needs_input_grad(2));
    return {grads.query, grads.key, grads.value, at::Tensor(), at::Tensor()};
  }
};

void check_arguments(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     std::int64_t window_size) {
  constexpr const char* query_layout = "[N, L, H, D]";
  constexpr const char* key_layout = "[N, M + L, Hkv, D]";
  check_dimensions(query, 4, "query", query_layout);
  check_dimensions(key, 4, "key", key_layout);
  check_dimensions(value, 4, "value", key_layout);
  check_floating(query, "query");
  check_same_kind(key, query, "key", "query");
  check_same_kind(value, query, "value", "query");
  check_size(key, 0, query.size(0), "key", key_layout);
  check_size(key, 3, query.size(3), "key", key_layout);
  require(key.size(1) >= query.size(1), "key: expected at least the query's {} positions, found {}", query.size(1),
          key.size(1));
  require(value.sizes() == key.sizes(), "value: expected the shape of key [{}], found [{}]",
          fmt::join(key.sizes(), ", "), fmt::join(value.sizes(), ", "));
  require(key.size(2) > 0 && query.size(2) % key.size(2) == 0, "key: its {} heads must divide the query's {}",
          key.size(2), query.size(2));
  require(query.size(1) > 0, "query: expected at least one position");
  require(window_size >= 0, "window_size: expected 0 or more, found {}", window_size);
}

}  // namespace

at::Tensor sliding_window_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                    std::int64_t window_size, PositionBias position_bias) {
  check_arguments(query, key, value, window_size);
  if (!has_kernel(query) && !has_cuda_kernel(query)) {
    return sliding_window_attention_composed(query, key, value, window_size, position_bias);
  }
  if (!needs_gradient({query, key, value})) return run_forward(query, key, value, window_size, position_bias).output;
  return SlidingWindowAttention::apply(query, key, value, window_size, position_bias);
}

SlidingWindowForward sliding_window_attention_forward(const at::Tensor& query, const at::Tensor& key,
                                                      const at::Tensor& value, std::int64_t window_size,
                                                      PositionBias position_bias) {
  check_arguments(query, key, value, window_size);
  if (has_kernel(query) || has_cuda_kernel(query)) return run_forward(query, key, value, window_size, position_bias);
  const at::NoGradGuard no_gradients;
  return {sliding_window_attention_composed(query, key, value, window_size, position_bias),
          at::zeros({query.size(0), query.size(2), query.size(1)}, query.options().dtype(at::kFloat))};
}

SlidingWindowGrads sliding_window_attention_backward(const at::Tensor& grad_output, const at::Tensor& query,
                                                     const at::Tensor& key, const at::Tensor& value,
                                                     const SlidingWindowForward& forward, std::int64_t window_size,
                                                     PositionBias position_bias, bool queries, bool keys) {
  check_arguments(query, key, value, window_size);
  check_same_kind(grad_output, query, "grad_output", "query");
  require(grad_output.sizes() == query.sizes(), "grad_output: expected the shape of query [{}], found [{}]",
          fmt::join(query.sizes(), ", "), fmt::join(grad_output.sizes(), ", "));
  if (has_cuda_kernel(query)) {
    return cuda_sliding_window_backward(grad_output, query, key, value, forward, window_size, position_bias, keys);
  }
  if (!has_kernel(query)) {
    return sliding_window_attention_composed_backward(grad_output, query, key, value, window_size, position_bias);
  }
  const at::Tensor rows = with_contiguous_rows(query);
  const at::Tensor key_rows = with_contiguous_rows(key);
  const at::Tensor value_rows = with_contiguous_rows(value);
  const at::Tensor grad_rows = with_contiguous_rows(grad_output);
  const SlidingWindowParams params =
      make_params(rows, key_rows, value_rows, window_size, position_bias, forward.output, forward.softmax_lse);
  SlidingWindowGradients gradients{.grad_output = sequence_rows(grad_rows)};
  SlidingWindowGrads grads;
  if (queries) {
    grads.query = at::empty(query.sizes(), grad_rows.options());
    gradients.grad_query = grads.query.mutable_data_ptr<float>();
  }
  if (keys) {
    grads.key = at::zeros(key.sizes(), grad_rows.options());
    grads.value = at::zeros(value.sizes(), grad_rows.options());
    gradients.grad_key = grads.key.mutable_data_ptr<float>();
    gradients.grad_value = grads.value.mutable_data_ptr<float>();
  }
  if (queries && keys && one_pass_is_faster(params.batch_size * params.num_kv_heads)) {
    backward_by_heads(params, gradients);
  } else {
    if (queries) backward_of_queries(params, gradients);
    if (keys) backward_of_keys(params, gradients);
  }
  return grads;
}

}  // namespace lookback
