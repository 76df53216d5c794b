#include "ops/joint_chunk_attention.h"

#include <fmt/ranges.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "kernels/chunk_attention.h"
#include "kernels/joint_chunk_attention.h"
#include "ops/chunk_tensors.h"
#include "ops/kernel_tensors.h"
#include "ops/tensor_checks.h"

namespace lookback {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Of tensor operations, which gather what is retrieved.
at::Tensor composed(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                    const at::Tensor& indices) {
  const std::int64_t num_chunks = key.size(1);
  const at::Tensor first_row = at::arange(key.size(0), indices.options()).view({-1, 1, 1}) * num_chunks;
  const at::Tensor rows = (indices.clamp_min(0) + first_row).flatten();
  // [N, C, H, K * S, D]
  const auto gathered = [&](const at::Tensor& chunks) {
    return chunks.flatten(0, 1)
        .index_select(0, rows)
        .view({query.size(0), query.size(1), -1, chunks.size(3), chunks.size(4)})
        .transpose(2, 3);
  };
  const at::Tensor missing = indices.lt(0).repeat_interleave(key.size(2), 2).unsqueeze(2).unsqueeze(3);
  const double scale = 1 / std::sqrt(static_cast<double>(query.size(4)));
  const at::ScalarType type = query.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor scores =
      at::matmul(query.transpose(2, 3) * scale, gathered(key).transpose(3, 4)).to(type);  // [N, C, H, T, K * S]
  // A row of nothing would be a softmax of -inf alone.
  const at::Tensor weights =
      at::softmax(scores.masked_fill(missing, -INFINITY).masked_fill(missing.all(-1, true), 0), -1)
          .masked_fill(missing, 0);
  return at::matmul(weights.to(value.scalar_type()), gathered(value)).transpose(2, 3);
}

// What backward wants of forward.
struct JointForward {
  at::Tensor output;       // [N, C, T, H, D]
  at::Tensor softmax_lse;  // [N, C, T, H]
};

// The tensors' rows are contiguous. What forward holds is written by forward and read by backward.
JointChunkAttentionParams make_params(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                      const at::Tensor& indices, const JointForward& forward) {
  return {.chunks = {.batch_size = query.size(0),
                     .num_chunks = query.size(1),
                     .chunk_positions = query.size(2),
                     .num_heads = query.size(3),
                     .num_kv_heads = key.size(3),
                     .head_dim = query.size(4),
                     .stored_chunks = key.size(1),
                     .chunk_size = key.size(2),
                     .top_k = indices.size(2),
                     .softmax_scale = static_cast<float>(1 / std::sqrt(static_cast<double>(query.size(4)))),
                     .query = query_rows(query),
                     .key = chunk_rows(key, {}),
                     .value = chunk_rows(value, {}),
                     .indices = indices.const_data_ptr<std::int64_t>(),
                     .output = forward.output.mutable_data_ptr<float>()},
          .softmax_lse = forward.softmax_lse.mutable_data_ptr<float>()};
}

JointForward run_forward(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                         const at::Tensor& indices) {
  const JointForward result{at::empty(query.sizes(), query.options()),
                            at::empty(query.sizes().slice(0, 4), query.options())};
  const at::Tensor rows = with_contiguous_rows(query);
  const at::Tensor keys = with_contiguous_rows(key);
  const at::Tensor values = with_contiguous_rows(value);
  const at::Tensor chosen = indices.contiguous();
  const JointChunkAttentionParams params = make_params(rows, keys, values, chosen, result);
  parallel_with_scratch(
      chunk_attention_forward_items(params.chunks), item_flops(params.chunks),
      joint_chunk_attention_forward_scratch(params.chunks),
      [&](auto first, auto last, float* scratch) { joint_chunk_attention_forward(params, first, last, scratch); });
  return result;
}

void run_backward(const JointChunkAttentionParams& params, const ChunkAttentionGradients& gradients) {
  const ChunkAttentionParams& chunks = params.chunks;
  const std::int64_t num_heads = chunks.batch_size * chunks.num_kv_heads;
  const std::int64_t scratch_size = chunk_attention_backward_scratch(chunks);
  const double flops = item_flops(chunks);
  if (one_pass_is_faster(num_heads)) {
    parallel_with_scratch(num_heads, 2.5 * flops * static_cast<double>(chunks.num_chunks), scratch_size,
                          [&](auto first, auto last, float* scratch) {
                            joint_chunk_attention_backward_heads(params, gradients, first, last, scratch);
                          });
    return;
  }
  parallel_with_scratch(chunk_attention_forward_items(chunks), 1.5 * flops, scratch_size,
                        [&](auto first, auto last, float* scratch) {
                          joint_chunk_attention_backward_queries(params, gradients, first, last, scratch);
                        });
  const ChunkReadersList list(chunks);
  const double reads_each = static_cast<double>(chunks.num_chunks) / static_cast<double>(chunks.stored_chunks);
  parallel_with_scratch(num_heads * chunks.stored_chunks, 2 * flops * reads_each, scratch_size,
                        [&](auto first, auto last, float* scratch) {
                          joint_chunk_attention_backward_chunks(params, gradients, list.readers(), first, last,
                                                                scratch);
                        });
}

class JointChunkAttention : public torch::autograd::Function<JointChunkAttention> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value, const at::Tensor& indices) {
    const JointForward result = run_forward(query, key, value, indices);
    context->save_for_backward({query, key, value, indices, result.output, result.softmax_lse});
    return result.output;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grad_outputs) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor query = with_contiguous_rows(saved[0]);
    const at::Tensor key = with_contiguous_rows(saved[1]);
    const at::Tensor value = with_contiguous_rows(saved[2]);
    const at::Tensor indices = saved[3].contiguous();
    const at::Tensor grad_output = with_contiguous_rows(grad_outputs[0]);
    const at::Tensor grad_query = at::empty(query.sizes(), grad_output.options());
    const at::Tensor grad_key = at::zeros(key.sizes(), grad_output.options());
    const at::Tensor grad_value = at::zeros(value.sizes(), grad_output.options());
    run_backward(make_params(query, key, value, indices, {saved[4], saved[5]}),
                 {.grad_output = query_rows(grad_output),
                  .grad_query = grad_query.mutable_data_ptr<float>(),
                  .grad_key = grad_key.mutable_data_ptr<float>(),
                  .grad_value = grad_value.mutable_data_ptr<float>()});
    return {grad_query, grad_key, grad_value, {}};
  }
};

void check_arguments(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     const at::Tensor& indices) {
  constexpr const char* key_layout = "[N, E, S, H, D]";
  check_dimensions(query, 5, "query", "[N, C, T, H, D]");
  check_dimensions(key, 5, "key", key_layout);
  check_dimensions(indices, 3, "indices", "[N, C, K]");
  check_floating(query, "query");
  check_same_kind(key, query, "key", "query");
  check_same_kind(value, query, "value", "query");
  check_size(key, 0, query.size(0), "key", key_layout);
  check_size(key, 3, query.size(3), "key", key_layout);
  check_size(key, 4, query.size(4), "key", key_layout);
  check_size(indices, 0, query.size(0), "indices", "[N, C, K]");
  check_size(indices, 1, query.size(1), "indices", "[N, C, K]");
  require(value.sizes() == key.sizes(), "value: expected the shape of key [{}], found [{}]",
          fmt::join(key.sizes(), ", "), fmt::join(value.sizes(), ", "));
  require(indices.scalar_type() == at::kLong, "indices: expected int64, found {}",
          c10::toString(indices.scalar_type()));
  check_range(indices, -1, key.size(1), "indices");
}

}  // namespace

at::Tensor joint_chunk_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                 const at::Tensor& indices) {
  check_arguments(query, key, value, indices);
  if (!has_kernel(query)) return composed(query, key, value, indices);
  if (!needs_gradient({query, key, value})) return run_forward(query, key, value, indices).output;
  return JointChunkAttention::apply(query, key, value, indices);
}

}  // namespace lookback
