#include "ops/nearest_attention_kernel.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "kernels/nearest_attention.h"
#include "ops/kernel_tensors.h"

namespace lookback {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What backward wants of forward.
struct NearestForward {
  at::Tensor output;         // [N, L, H, D]
  at::Tensor rows, weights;  // [N, H, L, K]; undefined: not wanted
};

// The tensors' rows are contiguous. What forward holds is written by forward and read by backward.
NearestAttentionParams make_params(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                   const NearestAttentionSizes& sizes, const NearestForward& forward) {
  const bool kept = forward.rows.defined();
  return {.batch_size = query.size(0),
          .num_queries = query.size(1),
          .num_past = key.size(1) - query.size(1),
          .num_heads = query.size(2),
          .num_kv_heads = key.size(2),
          .head_dim = query.size(3),
          .window_size = sizes.window_size,
          .memory_size = sizes.memory_size,
          .top_k = sizes.top_k,
          .softmax_scale = static_cast<float>(1 / std::sqrt(static_cast<double>(query.size(3)))),
          .query = sequence_rows(query),
          .key = sequence_rows(key),
          .value = sequence_rows(value),
          .output = forward.output.mutable_data_ptr<float>(),
          .rows = kept ? forward.rows.mutable_data_ptr<std::int32_t>() : nullptr,
          .weights = kept ? forward.weights.mutable_data_ptr<float>() : nullptr};
}

NearestForward run_forward(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                           const NearestAttentionSizes& sizes, bool for_backward) {
  NearestForward result{at::empty(query.sizes(), query.options()), {}, {}};
  if (for_backward) {
    result.weights = at::empty({query.size(0), query.size(2), query.size(1), sizes.top_k}, query.options());
    result.rows = at::empty(result.weights.sizes(), query.options().dtype(at::kInt));
  }
  const at::Tensor query_rows = with_contiguous_rows(query);
  const at::Tensor key_rows = with_contiguous_rows(key);
  const at::Tensor value_rows = with_contiguous_rows(value);
  const NearestAttentionParams params = make_params(query_rows, key_rows, value_rows, sizes, result);
  const std::int64_t num_items = nearest_attention_forward_items(params);
  const std::int64_t most_rows = std::min(key.size(1), sizes.memory_size);
  const double flops = 2.0 * static_cast<double>(query.numel()) * static_cast<double>(most_rows);
  parallel_with_scratch(
      num_items, flops / static_cast<double>(num_items), nearest_attention_forward_scratch(params),
      [&](auto first, auto last, float* scratch) { nearest_attention_forward(params, first, last, scratch); });
  return result;
}

class NearestAttention : public torch::autograd::Function<NearestAttention> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value, std::int64_t window_size, std::int64_t memory_size,
                            std::int64_t top_k) {
    const NearestForward result = run_forward(query, key, value, {window_size, memory_size, top_k}, true);
    context->save_for_backward({query, key, value, result.output, result.rows, result.weights});
    context->saved_data["window_size"] = window_size;
    context->saved_data["memory_size"] = memory_size;
    context->saved_data["top_k"] = top_k;
    return result.output;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grad_outputs) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor query = with_contiguous_rows(saved[0]);
    const at::Tensor key = with_contiguous_rows(saved[1]);
    const at::Tensor value = with_contiguous_rows(saved[2]);
    const at::Tensor grad_output = with_contiguous_rows(grad_outputs[0]);
    const NearestAttentionSizes sizes{context->saved_data["window_size"].toInt(),
                                      context->saved_data["memory_size"].toInt(), context->saved_data["top_k"].toInt()};
    const NearestAttentionParams params = make_params(query, key, value, sizes, {saved[3], saved[4], saved[5]});
    const at::Tensor grad_query = at::empty(query.sizes(), grad_output.options());
    const at::Tensor grad_key = at::zeros(key.sizes(), grad_output.options());
    const at::Tensor grad_value = at::zeros(value.sizes(), grad_output.options());
    const NearestAttentionGradients gradients{sequence_rows(grad_output), grad_query.mutable_data_ptr<float>(),
                                              grad_key.mutable_data_ptr<float>(), grad_value.mutable_data_ptr<float>()};
    const std::int64_t num_items = params.batch_size * params.num_kv_heads;
    const double flops = 8.0 * static_cast<double>(query.numel() * sizes.top_k);
    parallel_with_scratch(num_items, flops / static_cast<double>(num_items), nearest_attention_backward_scratch(params),
                          [&](auto first, auto last, float* scratch) {
                            nearest_attention_backward(params, gradients, first, last, scratch);
                          });
    return {grad_query, grad_key, grad_value, {}, {}, {}};
  }
};

}  // namespace

at::Tensor nearest_attention_by_kernel(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                       const NearestAttentionSizes& sizes) {
  require(key.size(1) <= std::numeric_limits<std::int32_t>::max(), "key: expected fewer than 2^31 positions, found {}",
          key.size(1));
  // No query has more rows to choose from.
  NearestAttentionSizes within = sizes;
  within.top_k = std::min(sizes.top_k, std::min(sizes.memory_size, key.size(1)));
  if (!needs_gradient({query, key, value})) return run_forward(query, key, value, within, false).output;
  return NearestAttention::apply(query, key, value, within.window_size, within.memory_size, within.top_k);
}

}  // namespace lookback
