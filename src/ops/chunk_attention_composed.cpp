#include "ops/chunk_attention_composed.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "ops/head_groups.h"
#include "ops/kernel_tensors.h"

namespace lookback {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Settings {
  double softmax_scale;
  bool softmax_plus_one;
};

// Chunks of queries that are computed together, so that the keys and values that they gather stay below
// intermediate_bytes().
std::int64_t chunks_a_time(const at::Tensor& key, const at::Tensor& indices) {
  const std::int64_t chunk_bytes = 2 * key.size(2) * key.size(3) * key.size(4) * key.element_size();
  const std::int64_t per_chunk = std::max<std::int64_t>(1, key.size(0) * indices.size(2) * chunk_bytes);
  return std::clamp<std::int64_t>(intermediate_bytes(key) / per_chunk, 1, std::max<std::int64_t>(1, indices.size(1)));
}

// Softmax over the last dimension; plus_one: with 1 (that is, exp(0 - max)) added to the denominator.
at::Tensor chunk_softmax(const at::Tensor& scores, bool plus_one) {
  if (!plus_one) return at::softmax(scores, -1);
  const at::Tensor maximum = scores.amax(-1, true).clamp_min_(0);
  at::Tensor exponentials = at::exp(scores - maximum);
  const at::Tensor denominator = exponentials.sum(-1, true).add_(at::exp(-maximum));
  return exponentials.div_(denominator);
}

// Rows of key viewed as [N * E, S * Hkv * D] that indices [N, c, K] name; -1 reads row 0, its weight is 0.
at::Tensor flat_rows(const at::Tensor& indices, std::int64_t num_chunks) {
  const at::Tensor offsets = at::arange(indices.size(0), indices.options()).view({-1, 1, 1}) * num_chunks;
  return (indices.clamp_min(0) + offsets).flatten();
}

// [N, E, S, Hkv, D] at `rows` -> [N, c, Hkv, K * S, D].
at::Tensor gather_chunks(const at::Tensor& chunks, const at::Tensor& rows, at::IntArrayRef indices_shape) {
  return chunks.flatten(0, 1)
      .index_select(0, rows)
      .view({indices_shape[0], indices_shape[1], indices_shape[2] * chunks.size(2), chunks.size(3), chunks.size(4)})
      .transpose(2, 3)
      .contiguous();
}

// What forward and backward of some query chunks both need.
struct ChunkGroup {
  at::Tensor query;          // [N, c, Hkv, R P, D], scaled
  at::Tensor key, value;     // [N, c, Hkv, K S, D]
  at::Tensor rows;           // [N c K]
  at::Tensor weights;        // [N, c, 1, 1, K, 1], 0 where nothing was retrieved, type of the scores
  at::Tensor probabilities;  // [N, c, Hkv, R P, K, S], type of the scores
};

ChunkGroup attend(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const at::Tensor& indices,
                  const at::Tensor& weights, const Settings& settings) {
  const at::ScalarType score_type = query.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  ChunkGroup group;
  group.query = group_heads(query, key.size(3)).mul(settings.softmax_scale);
  group.rows = flat_rows(indices, key.size(1));
  group.key = gather_chunks(key, group.rows, indices.sizes());
  group.value = gather_chunks(value, group.rows, indices.sizes());
  group.weights = weights.to(score_type)
                      .masked_fill(indices.lt(0), 0)
                      .view({indices.size(0), indices.size(1), 1, 1, indices.size(2), 1});
  const at::Tensor scores =
      at::matmul(group.query, group.key.transpose(-1, -2)).to(score_type).unflatten(-1, {indices.size(2), key.size(2)});
  group.probabilities = chunk_softmax(scores, settings.softmax_plus_one);
  return group;
}

// Adds [N, c, Hkv, K S, D] to the rows that they were gathered from.
void add_chunks(at::Tensor& sums, const at::Tensor& rows, const at::Tensor& gathered) {
  const at::Tensor contributions =
      gathered.transpose(2, 3).reshape({rows.size(0), sums.size(2), sums.size(3), sums.size(4)});
  sums.flatten(0, 1).index_add_(0, rows, contributions.to(sums.scalar_type()));
}

class ComposedChunkAttention : public torch::autograd::Function<ComposedChunkAttention> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value, const at::Tensor& indices, const at::Tensor& weights,
                            double softmax_scale, bool softmax_plus_one) {
    context->save_for_backward({query, key, value, indices, weights});
    context->saved_data["scale"] = softmax_scale;
    context->saved_data["plus_one"] = softmax_plus_one;
    const Settings settings{softmax_scale, softmax_plus_one};
    at::Tensor output = at::empty(query.sizes(), query.options());
    const std::int64_t step = chunks_a_time(key, indices);
    for (std::int64_t first = 0; first < query.size(1); first += step) {
      const std::int64_t count = std::min(step, query.size(1) - first);
      ChunkGroup group = attend(query.narrow(1, first, count), key, value, indices.narrow(1, first, count),
                                weights.narrow(1, first, count), settings);
      const at::Tensor weighted = group.probabilities.mul_(group.weights).flatten(-2).to(query.scalar_type());
      output.narrow(1, first, count).copy_(ungroup_heads(at::matmul(weighted, group.value), query.size(3)));
    }
    return output;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const ChunkAttentionGrads grads = chunk_attention_composed_backward(
        gradients[0], saved[0], saved[1], saved[2], saved[3], saved[4], context->saved_data["scale"].toDouble(),
        context->saved_data["plus_one"].toBool());
    return {grads.query, grads.key, grads.value, at::Tensor(), grads.weights, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor chunk_attention_composed(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                    const at::Tensor& indices, const at::Tensor& weights, double softmax_scale,
                                    bool softmax_plus_one) {
  return ComposedChunkAttention::apply(query, key, value, indices, weights, softmax_scale, softmax_plus_one);
}

ChunkAttentionGrads chunk_attention_composed_backward(const at::Tensor& grad_output, const at::Tensor& query,
                                                      const at::Tensor& key, const at::Tensor& value,
                                                      const at::Tensor& indices, const at::Tensor& weights,
                                                      double softmax_scale, bool softmax_plus_one) {
  const Settings settings{softmax_scale, softmax_plus_one};
  const at::ScalarType sum_type = query.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  at::Tensor grad_query = at::empty(query.sizes(), query.options());
  at::Tensor grad_key = at::zeros(key.sizes(), key.options().dtype(sum_type));
  at::Tensor grad_value = at::zeros(value.sizes(), value.options().dtype(sum_type));
  at::Tensor grad_weights = at::empty(weights.sizes(), weights.options());
  const std::int64_t step = chunks_a_time(key, indices);
  for (std::int64_t first = 0; first < query.size(1); first += step) {
    const std::int64_t count = std::min(step, query.size(1) - first);
    const at::Tensor some_indices = indices.narrow(1, first, count);
    const ChunkGroup group =
        attend(query.narrow(1, first, count), key, value, some_indices, weights.narrow(1, first, count), settings);
    const at::Tensor grad_heads =
        group_heads(grad_output.narrow(1, first, count), key.size(3)).contiguous();  // [N, c, Hkv, R P, D]
    // dO . V: what each probability would gain, before its chunk's weight.           [N, c, Hkv, R P, K, S]
    const at::Tensor gain = at::matmul(grad_heads, group.value.transpose(-1, -2))
                                .to(sum_type)
                                .unflatten(-1, {indices.size(2), key.size(2)});
    // dO . o_k, and so the weight's gradient once summed over heads and positions.   [N, c, Hkv, R P, K, 1]
    const at::Tensor chunk_gain = (group.probabilities * gain).sum(-1, true);
    grad_weights.narrow(1, first, count)
        .copy_(chunk_gain.sum(at::IntArrayRef{2, 3}).squeeze(-1).masked_fill_(some_indices.lt(0), 0));
    const at::Tensor weighted = group.probabilities * group.weights;
    const at::Tensor grad_scores = ((gain - chunk_gain).mul_(weighted)).flatten(-2).to(query.scalar_type());
    grad_query.narrow(1, first, count)
        .copy_(ungroup_heads(at::matmul(grad_scores, group.key).mul_(settings.softmax_scale), query.size(3)));
    // group.query already carries the scale.
    add_chunks(grad_key, group.rows, at::matmul(grad_scores.transpose(-1, -2), group.query));
    add_chunks(grad_value, group.rows,
               at::matmul(weighted.flatten(-2).to(query.scalar_type()).transpose(-1, -2), grad_heads));
  }
  return {grad_query, grad_key.to(key.scalar_type()), grad_value.to(value.scalar_type()), grad_weights};
}

}  // namespace lookback
