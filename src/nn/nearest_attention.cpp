#include "nn/nearest_attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "nn/recompute.h"
#include "ops/head_groups.h"
#include "ops/kernel_tensors.h"

namespace lookback {
namespace {

// Scores held at one time; queries are taken together up to this much.
constexpr std::int64_t most_nearest_score_bytes = std::int64_t{32} << 20;

at::ScalarType type_of_nearest_scores(const at::Tensor& query) {
  return query.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// Which of num_keys keys are not in the memories of num_queries queries, the first of them at key row `first` [T, J].
at::Tensor outside_memory(std::int64_t num_queries, std::int64_t num_keys, std::int64_t first,
                          const NearestAttentionSizes& sizes, at::Device device) {
  const at::TensorOptions options = at::TensorOptions(device).dtype(at::kLong);
  // Distance from the last position that the window does not see.
  const at::Tensor distance =
      (at::arange(num_queries, options) + (first - sizes.window_size - 1)).unsqueeze(1) - at::arange(num_keys, options);
  return distance.lt(0).logical_or(distance.ge(sizes.memory_size));
}

// Softmax of the best scores [..., K], -inf where there is none; a row of nothing gives zeros.
at::Tensor softmax_of_best(const at::Tensor& best) {
  const at::Tensor nothing = best.detach().isinf();
  return at::softmax(best.masked_fill(nothing.all(-1, true), 0), -1).masked_fill(nothing, 0);
}

// query [N, T, H, D] whose first row is row `first` of key and value [N, J, Hkv, D].
at::Tensor attend_to_nearest(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                             std::int64_t first, const NearestAttentionSizes& sizes) {
  const double scale = 1 / std::sqrt(static_cast<double>(query.size(3)));
  const std::int64_t num_kv_heads = key.size(2);
  const at::Tensor rows = group_heads((query * scale).unsqueeze(1), num_kv_heads).squeeze(1);  // [N, Hkv, R * T, D]
  const at::Tensor hidden = outside_memory(query.size(1), key.size(1), first, sizes, query.device())
                                .repeat({query.size(2) / num_kv_heads, 1});
  const at::Tensor scores =
      at::matmul(rows, key.permute({0, 2, 3, 1})).to(type_of_nearest_scores(query)).masked_fill(hidden, -INFINITY);
  const auto [best, places] = scores.topk(std::min(sizes.top_k, key.size(1)), -1);
  const at::Tensor weights = softmax_of_best(best);
  const at::Tensor spread = at::zeros(scores.sizes(), weights.options()).scatter(-1, places, weights);
  const at::Tensor mixed = at::matmul(spread.to(value.scalar_type()), value.transpose(1, 2));
  return ungroup_heads(mixed.unsqueeze(1), query.size(2)).squeeze(1);
}

// query [N, T, H, D] whose first row is row `first` of states [N, J, r].
at::Tensor attend_to_nearest_states(const at::Tensor& query, const at::Tensor& states, const at::Tensor& key_weight,
                                    const at::Tensor& value_weight, std::int64_t first,
                                    const NearestAttentionSizes& sizes) {
  const std::int64_t num_states = states.size(1);
  const std::int64_t width = states.size(2);
  const std::int64_t head_dim = query.size(3);
  const std::int64_t num_queries = query.size(1);
  const at::Tensor own = states.narrow(1, first, num_queries).detach();
  const at::Tensor similarity =
      at::matmul(own, states.detach().transpose(1, 2))
          .to(type_of_nearest_scores(query))
          .masked_fill(outside_memory(num_queries, num_states, first, sizes, query.device()), -INFINITY);
  const auto [best, places] = similarity.topk(std::min(sizes.top_k, num_states), -1);  // [N, T, K]
  const at::Tensor chosen = states.gather(1, places.flatten(1).unsqueeze(2).expand({-1, -1, width}))
                                .view({states.size(0), num_queries, -1, width});  // [N, T, K, r]
  const std::int64_t num_kv_heads = key_weight.size(0) / head_dim;
  const std::int64_t group = query.size(2) / num_kv_heads;
  const auto of_heads = [&](const at::Tensor& weight) {
    return weight.to(query.scalar_type()).view({num_kv_heads, head_dim, width}).repeat_interleave(group, 0);
  };
  // q . (s W^T) = (q W) . s: the K states are never made keys and values.
  const double scale = 1 / std::sqrt(static_cast<double>(head_dim));
  const at::Tensor rows = at::einsum("nthd,hdr->nthr", {query * scale, of_heads(key_weight)});
  const at::Tensor scores = at::matmul(rows, chosen.transpose(2, 3))
                                .to(type_of_nearest_scores(query))
                                .masked_fill(best.isinf().unsqueeze(2), -INFINITY);  // [N, T, H, K]
  const at::Tensor mixed = at::matmul(softmax_of_best(scores).to(chosen.scalar_type()), chosen);
  return at::einsum("nthr,hdr->nthd", {mixed, of_heads(value_weight)});
}

// Calls attend(first query, queries, first key, keys) for as many queries at a time as the bound allows and returns
// what it gives one after another. row_bytes: of a query's scores for all keys.
template <typename Attend>
at::Tensor attend_in_parts(std::int64_t length, std::int64_t before, std::int64_t row_bytes,
                           const NearestAttentionSizes& sizes, const Attend& attend) {
  const std::int64_t most_rows = std::clamp<std::int64_t>(most_nearest_score_bytes / row_bytes, 1, length);
  std::vector<at::Tensor> outputs;
  for (std::int64_t row = 0; row < length; row += most_rows) {
    const std::int64_t count = std::min(most_rows, length - row);
    // Of the keys, those that any of these queries may see, and their own.
    const std::int64_t begin = std::max<std::int64_t>(0, before + row - sizes.window_size - sizes.memory_size);
    outputs.push_back(attend(row, count, begin, before + row + count - begin));
  }
  return outputs.size() == 1 ? outputs.front() : at::cat(outputs, 1);
}

}  // namespace

at::Tensor nearest_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                             const NearestAttentionSizes& sizes) {
  const std::int64_t before = key.size(1) - query.size(1);
  if (key.size(1) <= sizes.window_size + 1) return at::zeros_like(query);
  if (has_kernel(query)) return nearest_attention_by_kernel(query, key, value, sizes);
  const std::int64_t row_bytes = query.size(0) * query.size(2) * key.size(1) * static_cast<std::int64_t>(sizeof(float));
  return attend_in_parts(
      query.size(1), before, row_bytes, sizes,
      [&](std::int64_t row, std::int64_t count, std::int64_t begin, std::int64_t num_keys) {
        // The last W keys are in the window of all these queries.
        const std::int64_t seen = std::max<std::int64_t>(1, num_keys - sizes.window_size);
        const TensorFunction apply = [first = before + row - begin, sizes](const std::vector<at::Tensor>& inputs) {
          return attend_to_nearest(inputs[0], inputs[1], inputs[2], first, sizes);
        };
        return recompute_in_backward(
            apply, {query.narrow(1, row, count), key.narrow(1, begin, seen), value.narrow(1, begin, seen)});
      });
}

at::Tensor nearest_state_attention(const at::Tensor& query, const at::Tensor& states, const at::Tensor& key_weight,
                                   const at::Tensor& value_weight, const NearestAttentionSizes& sizes) {
  const std::int64_t before = states.size(1) - query.size(1);
  if (states.size(1) <= sizes.window_size + 1) return at::zeros_like(query);
  const std::int64_t gathered = sizes.top_k * states.size(2);
  const std::int64_t row_bytes = query.size(0) * (states.size(1) + gathered) * static_cast<std::int64_t>(sizeof(float));
  return attend_in_parts(
      query.size(1), before, row_bytes, sizes,
      [&](std::int64_t row, std::int64_t count, std::int64_t begin, std::int64_t num_states) {
        const TensorFunction apply = [first = before + row - begin, sizes](const std::vector<at::Tensor>& inputs) {
          return attend_to_nearest_states(inputs[0], inputs[1], inputs[2], inputs[3], first, sizes);
        };
        return recompute_in_backward(
            apply, {query.narrow(1, row, count), states.narrow(1, begin, num_states), key_weight, value_weight});
      });
}

}  // namespace lookback
