#include "ops/landmark_attention.h"

#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "kernels/landmark_attention.h"
#include "ops/kernel_tensors.h"
#include "ops/landmark_attention_composed.h"
#include "ops/tensor_checks.h"

namespace lookback {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What backward wants of forward.
struct LandmarkForward {
  at::Tensor output;       // [N, L, H, D]
  at::Tensor softmax_lse;  // [N, H, L]
  at::Tensor unread;       // [N, H, B, L] bytes, not 0 where a query does not read a block; undefined: not wanted
};

// The tensors' rows are contiguous. What forward holds is written by forward and read by backward.
LandmarkAttentionParams make_params(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                    const LandmarkAttentionSizes& sizes, const LandmarkForward& forward) {
  return {.batch_size = query.size(0),
          .num_blocks = query.size(1) / sizes.block_size,
          .num_heads = query.size(2),
          .num_kv_heads = key.size(2),
          .head_dim = query.size(3),
          .block_size = sizes.block_size,
          .window_size = sizes.window_size,
          .top_k = sizes.top_k,
          .softmax_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(query.size(3)))),
          .query = sequence_rows(query),
          .key = sequence_rows(key),
          .value = sequence_rows(value),
          .output = forward.output.mutable_data_ptr<float>(),
          .softmax_lse = forward.softmax_lse.mutable_data_ptr<float>(),
          .unread = forward.unread.defined() ? forward.unread.mutable_data_ptr<std::uint8_t>() : nullptr};
}

// Of one product of all query rows with all that they read.
double product_flops(const LandmarkAttentionParams& params) {
  const auto length = static_cast<double>(params.num_blocks * params.block_size);
  return static_cast<double>(params.batch_size * params.num_heads * params.head_dim) * length * length;
}

LandmarkForward run_forward(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            const LandmarkAttentionSizes& sizes, bool for_backward) {
  LandmarkForward result{at::empty(query.sizes(), query.options()),
                         at::empty({query.size(0), query.size(2), query.size(1)}, query.options()), at::Tensor()};
  if (for_backward && sizes.top_k > 0) {
    result.unread = at::zeros({query.size(0), query.size(2), query.size(1) / sizes.block_size, query.size(1)},
                              query.options().dtype(at::kByte));
  }
  const at::Tensor query_rows = with_contiguous_rows(query);
  const at::Tensor key_rows = with_contiguous_rows(key);
  const at::Tensor value_rows = with_contiguous_rows(value);
  const LandmarkAttentionParams params = make_params(query_rows, key_rows, value_rows, sizes, result);
  const std::int64_t num_items = landmark_attention_forward_items(params);
  parallel_with_scratch(
      num_items, 2 * product_flops(params) / static_cast<double>(num_items), landmark_attention_forward_scratch(params),
      [&](auto first, auto last, float* scratch) { landmark_attention_forward(params, first, last, scratch); });
  return result;
}

void backward_by_heads(const LandmarkAttentionParams& params, const LandmarkAttentionGradients& gradients) {
  const std::int64_t num_items = params.batch_size * params.num_kv_heads;
  parallel_with_scratch(num_items, 5 * product_flops(params) / static_cast<double>(num_items),
                        landmark_attention_backward_scratch(params), [&](auto first, auto last, float* scratch) {
                          landmark_attention_backward_heads(params, gradients, first, last, scratch);
                        });
}

void backward_in_two_passes(const LandmarkAttentionParams& params, const LandmarkAttentionGradients& gradients) {
  const std::int64_t num_items = landmark_attention_forward_items(params);
  parallel_with_scratch(num_items, 3 * product_flops(params) / static_cast<double>(num_items),
                        landmark_attention_backward_scratch(params), [&](auto first, auto last, float* scratch) {
                          landmark_attention_backward_queries(params, gradients, first, last, scratch);
                        });
  const std::int64_t num_key_items = landmark_attention_key_items(params);
  parallel_with_scratch(num_key_items, 4 * product_flops(params) / static_cast<double>(num_key_items),
                        landmark_attention_backward_scratch(params), [&](auto first, auto last, float* scratch) {
                          landmark_attention_backward_keys(params, gradients, first, last, scratch);
                        });
}

class LandmarkAttention : public torch::autograd::Function<LandmarkAttention> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value, std::int64_t block_size, std::int64_t window_size,
                            std::int64_t top_k) {
    const LandmarkForward result = run_forward(query, key, value, {block_size, window_size, top_k}, true);
    context->save_for_backward({query, key, value, result.output, result.softmax_lse, result.unread});
    context->saved_data["block_size"] = block_size;
    context->saved_data["window_size"] = window_size;
    context->saved_data["top_k"] = top_k;
    return result.output;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grad_outputs) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor query = with_contiguous_rows(saved[0]);
    const at::Tensor key = with_contiguous_rows(saved[1]);
    const at::Tensor value = with_contiguous_rows(saved[2]);
    const at::Tensor grad_output = with_contiguous_rows(grad_outputs[0]);
    const LandmarkAttentionSizes sizes{context->saved_data["block_size"].toInt(),
                                       context->saved_data["window_size"].toInt(),
                                       context->saved_data["top_k"].toInt()};
    const LandmarkAttentionParams params = make_params(query, key, value, sizes, {saved[3], saved[4], saved[5]});
    const at::Tensor grad_query = at::empty(query.sizes(), grad_output.options());
    const at::Tensor grad_key = at::zeros(key.sizes(), grad_output.options());
    const at::Tensor grad_value = at::zeros(value.sizes(), grad_output.options());
    const LandmarkAttentionGradients gradients{sequence_rows(grad_output), grad_query.mutable_data_ptr<float>(),
                                               grad_key.mutable_data_ptr<float>(),
                                               grad_value.mutable_data_ptr<float>()};
    if (one_pass_is_faster(params.batch_size * params.num_kv_heads)) {
      backward_by_heads(params, gradients);
    } else {
      backward_in_two_passes(params, gradients);
    }
    return {grad_query, grad_key, grad_value, {}, {}, {}};
  }
};

void check_arguments(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     const LandmarkAttentionSizes& sizes) {
  check_dimensions(query, 4, "query", "[N, L, H, D]");
  check_floating(query, "query");
  require(sizes.block_size >= 2, "block_size: expected a position of text and a landmark at least, found {}",
          sizes.block_size);
  require(sizes.window_size >= 0, "window_size: expected 0 or more, found {}", sizes.window_size);
  require(sizes.top_k >= 0, "top_k: expected 0 or more, found {}", sizes.top_k);
  require(query.size(1) % sizes.block_size == 0, "query: expected whole blocks of {} positions, found {} positions",
          sizes.block_size, query.size(1));
  const auto check_keys = [&query](const at::Tensor& keys, const char* name) {
    check_dimensions(keys, 4, name, "[N, L, Hkv, D]");
    for (const std::int64_t dimension : {0, 1, 3}) {
      check_size(keys, dimension, query.size(dimension), name, "[N, L, Hkv, D]");
    }
    check_same_kind(keys, query, name, "query");
  };
  check_keys(key, "key");
  check_keys(value, "value");
  check_size(value, 2, key.size(2), "value", "[N, L, Hkv, D]");
  require(query.size(2) % key.size(2) == 0, "key: its {} heads do not divide the query's {}", key.size(2),
          query.size(2));
}

}  // namespace

at::Tensor landmark_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                              const LandmarkAttentionSizes& sizes) {
  check_arguments(query, key, value, sizes);
  if (!has_kernel(query)) return landmark_attention_composed(query, key, value, sizes);
  if (!needs_gradient({query, key, value})) return run_forward(query, key, value, sizes, false).output;
  return LandmarkAttention::apply(query, key, value, sizes.block_size, sizes.window_size, sizes.top_k);
}

}  // namespace lookback
