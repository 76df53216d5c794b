#include "ops/landmark_attention_composed.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/landmark_blocks.h"

namespace lookback {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Scores held at one time; blocks of queries are taken together up to this much.
constexpr std::int64_t most_landmark_score_bytes = std::int64_t{1} << 20;

// The blocks [first, first + count) of queries and all before them, of whole sequences.
at::Tensor attend_whole(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, std::int64_t first,
                        std::int64_t count, const LandmarkAttentionSizes& sizes) {
  const std::int64_t block_size = sizes.block_size;
  const auto by_block = [&](const at::Tensor& rows) { return rows.unflatten(1, {-1, block_size}); };
  const at::Tensor keys = by_block(key);
  const at::Tensor values = by_block(value);
  const std::int64_t num_before = first + count - 1;
  const auto text_before = [&](const at::Tensor& rows) {
    return rows.narrow(1, 0, num_before).narrow(2, 0, block_size - 1);
  };
  const LandmarkQueries queries{by_block(query).narrow(1, first, count), keys.narrow(1, first, count),
                                values.narrow(1, first, count), first};
  const LandmarkBlocks blocks{text_before(keys), text_before(values),
                              keys.narrow(1, 0, num_before).select(2, block_size - 1),
                              at::arange(num_before, query.options().dtype(at::kLong)),
                              num_blocks_beyond_window(num_before, first * block_size, sizes)};
  return attend_to_blocks(queries, blocks, readable_blocks(queries, blocks, sizes), sizes).flatten(1, 2);
}

// Calls visit(first, count) for groups of blocks whose scores fit into the bound.
template <typename Visit>
void for_each_group(const at::Tensor& query, std::int64_t block_size, const Visit& visit) {
  const std::int64_t num_blocks = query.size(1) / block_size;
  const std::int64_t pair_bytes =
      query.size(0) * query.size(2) * block_size * block_size * static_cast<std::int64_t>(sizeof(float));
  for (std::int64_t first = 0; first < num_blocks;) {
    // All blocks of the group have scores for all before its last.
    std::int64_t count = 1;
    while (first + count < num_blocks && (count + 1) * (first + count) * pair_bytes <= most_landmark_score_bytes) {
      ++count;
    }
    visit(first, count);
    first += count;
  }
}

class ComposedLandmarkAttention : public torch::autograd::Function<ComposedLandmarkAttention> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value, std::int64_t block_size, std::int64_t window_size,
                            std::int64_t top_k) {
    context->save_for_backward({query, key, value});
    context->saved_data["block_size"] = block_size;
    context->saved_data["window_size"] = window_size;
    context->saved_data["top_k"] = top_k;
    at::Tensor output = at::empty_like(query);
    for_each_group(query, block_size, [&](std::int64_t first, std::int64_t count) {
      output.narrow(1, first * block_size, count * block_size)
          .copy_(attend_whole(query, key, value, first, count, {block_size, window_size, top_k}));
    });
    return output;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const LandmarkAttentionSizes sizes{context->saved_data["block_size"].toInt(),
                                       context->saved_data["window_size"].toInt(),
                                       context->saved_data["top_k"].toInt()};
    const variable_list inputs = context->get_saved_variables();
    variable_list sums;
    for (const at::Tensor& input : inputs) sums.push_back(at::zeros_like(input));
    const std::int64_t block_size = sizes.block_size;
    for_each_group(inputs[0], block_size, [&](std::int64_t first, std::int64_t count) {
      const at::AutoGradMode with_gradients(true);
      // Only what the group reads, so that adding its gradients up costs no more than itself.
      const std::int64_t end = (first + count) * block_size;
      variable_list seen;
      for (const at::Tensor& input : inputs) seen.push_back(input.detach().narrow(1, 0, end).requires_grad_());
      const at::Tensor output = attend_whole(seen[0], seen[1], seen[2], first, count, sizes);
      const variable_list found =
          torch::autograd::grad({output}, seen, {gradients[0].narrow(1, first * block_size, count * block_size)});
      const at::NoGradGuard no_gradients;
      for (std::size_t i = 0; i < sums.size(); ++i) sums[i].narrow(1, 0, end).add_(found[i]);
    });
    return {sums[0], sums[1], sums[2], {}, {}, {}};
  }
};

}  // namespace

at::Tensor landmark_attention_composed(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                       const LandmarkAttentionSizes& sizes) {
  return ComposedLandmarkAttention::apply(query, key, value, sizes.block_size, sizes.window_size, sizes.top_k);
}

}  // namespace lookback
