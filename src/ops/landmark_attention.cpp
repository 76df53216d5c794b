#include "ops/landmark_attention.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>

#include "ops/head_groups.h"
#include "ops/tensor_checks.h"

namespace lookback {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Scores held at one time; blocks of queries are taken together up to this much.
constexpr std::int64_t most_landmark_score_bytes = std::int64_t{1} << 20;

at::ScalarType type_of_scores(const at::Tensor& query) {
  return query.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// [N, B, Hkv, R * T, D], scaled.
at::Tensor scaled_rows(const LandmarkQueries& queries) {
  const double scale = 1 / std::sqrt(static_cast<double>(queries.query.size(-1)));
  return group_heads(queries.query, queries.key.size(3)) * scale;
}

// rows [N, B, Hkv, R * T, D] . keys [N, E, Hkv, D] -> [N, B, Hkv, R * T, E].
at::Tensor scores_of_all(const at::Tensor& rows, const at::Tensor& keys, at::ScalarType type) {
  return at::matmul(rows, keys.permute({0, 2, 3, 1}).unsqueeze(1)).to(type);
}

// Positions of the queries [B, T].
at::Tensor query_positions(const LandmarkQueries& queries, std::int64_t block_size) {
  const at::TensorOptions options = queries.query.options().dtype(at::kLong);
  const std::int64_t num_keys = queries.key.size(2);
  const at::Tensor block = at::arange(queries.query.size(1), options) + queries.first_block;
  const at::Tensor slot = at::arange(num_keys - queries.query.size(2), num_keys, options);
  return (block * block_size).unsqueeze(1) + slot;
}

// Position bias [B, Hkv, R * T, J] of keys at `positions` [J] or [B, J].
at::Tensor bias_of(const LandmarkQueries& queries, const at::Tensor& positions, const LandmarkAttentionSizes& sizes,
                   at::ScalarType type) {
  const std::int64_t num_heads = queries.query.size(3);
  const at::TensorOptions options = queries.query.options().dtype(type);
  const at::Tensor keys = positions.dim() == 1 ? positions.view({1, 1, -1}) : positions.unsqueeze(1);
  const at::Tensor distance =
      (query_positions(queries, sizes.block_size).unsqueeze(2) - keys).clamp(0, sizes.window_size).to(type);
  const at::Tensor slopes = at::exp2(at::arange(1, num_heads + 1, options) * (-8.0 / static_cast<double>(num_heads)));
  const at::Tensor bias = slopes.view({1, -1, 1, 1}) * -distance.unsqueeze(1);  // [B, H, T, J]
  return bias.unflatten(1, {queries.key.size(3), -1}).flatten(2, 3);
}

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

class LandmarkAttention : public torch::autograd::Function<LandmarkAttention> {
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

std::int64_t num_blocks_beyond_window(std::int64_t num_blocks, std::int64_t first_query,
                                      const LandmarkAttentionSizes& sizes) {
  // Block e's last text is at e P + P - 2, and first_query - W is the last position beyond the window.
  const std::int64_t last_text = first_query - sizes.window_size - (sizes.block_size - 2);
  return last_text < 0 ? 0 : std::min(num_blocks, last_text / sizes.block_size + 1);
}

at::Tensor readable_blocks(const LandmarkQueries& queries, const LandmarkBlocks& blocks,
                           const LandmarkAttentionSizes& sizes) {
  const at::NoGradGuard no_gradients;
  const at::Tensor block =
      (at::arange(queries.query.size(1), blocks.index.options()) + queries.first_block).unsqueeze(1);  // [B, 1]
  const auto per_row = [](const at::Tensor& mask) { return mask.view({1, mask.size(0), 1, 1, mask.size(1)}); };
  const at::Tensor earlier = per_row(blocks.index.lt(block));
  const std::int64_t num_local = (sizes.window_size + sizes.block_size - 1) / sizes.block_size;
  const at::Tensor far = per_row(blocks.index.lt(block - num_local));
  const at::Tensor rows = scaled_rows(queries);
  const std::vector<std::int64_t> shape = {rows.size(0), rows.size(1), rows.size(2), rows.size(3),
                                           blocks.index.size(0)};
  if (sizes.top_k == 0 || sizes.top_k >= blocks.index.size(0)) return earlier.expand(shape);
  // All far landmarks have the same position bias, so that it decides nothing; nearness does where scores are equal.
  constexpr double nearness = 1e-4;
  const at::ScalarType type = type_of_scores(rows);
  const at::Tensor rank = per_row((block - (num_local + 1) - blocks.index).clamp_max(sizes.top_k)).to(type);
  const at::Tensor scores =
      (scores_of_all(rows, blocks.landmark, type) - nearness * rank).masked_fill_(far.logical_not(), -INFINITY);
  const at::Tensor best = std::get<1>(scores.topk(sizes.top_k, -1));
  const at::Tensor chosen = at::zeros(shape, earlier.options()).scatter_(-1, best, true);
  return chosen.logical_or_(far.logical_not()).logical_and_(earlier);
}

at::Tensor attend_to_blocks(const LandmarkQueries& queries, const LandmarkBlocks& blocks, const at::Tensor& readable,
                            const LandmarkAttentionSizes& sizes) {
  const std::int64_t text_size = sizes.block_size - 1;  // S
  const std::int64_t num_keys = queries.key.size(2);
  const std::int64_t num_queries = queries.query.size(2);
  const std::int64_t num_blocks = blocks.index.size(0);
  const at::ScalarType type = type_of_scores(queries.query);
  const at::Tensor rows = scaled_rows(queries);
  const at::TensorOptions options = blocks.index.options();

  // Own block: causal, and never the landmark.
  const at::Tensor slot = at::arange(num_keys, options);
  const at::Tensor hidden = slot.gt(at::arange(num_keys - num_queries, num_keys, options).unsqueeze(1))
                                .logical_or(slot.eq(text_size))
                                .repeat({queries.query.size(3) / queries.key.size(3), 1});  // [R * T, T']
  const at::Tensor own_positions =
      ((at::arange(queries.query.size(1), options) + queries.first_block) * sizes.block_size).unsqueeze(1) + slot;
  const auto heads_first = [](const at::Tensor& own) { return own.transpose(2, 3); };  // [N, B, Hkv, T', D]
  const at::Tensor own_scores = (at::matmul(rows, heads_first(queries.key).transpose(-1, -2)).to(type) +
                                 bias_of(queries, own_positions, sizes, type))
                                    .masked_fill(hidden, -INFINITY);
  const at::Tensor landmark_scores = (scores_of_all(rows, blocks.landmark, type) +
                                      bias_of(queries, blocks.index * sizes.block_size + text_size, sizes, type))
                                         .masked_fill(readable.logical_not(), -INFINITY);
  const std::vector<at::Tensor> weights =
      at::softmax(at::cat({own_scores, landmark_scores}, -1), -1).split_with_sizes({num_keys, num_blocks}, -1);

  // Earlier blocks: each one's softmax shares out what its landmark got.
  const auto all_text = [](const at::Tensor& text) { return text.flatten(1, 2); };  // [N, E * S, Hkv, D]
  at::Tensor text_scores = scores_of_all(rows, all_text(blocks.key), type);
  // A bias that all of a block has alike changes nothing of its softmax: only the blocks in reach of the window have
  // other ones.
  const std::int64_t first_biased = blocks.num_beyond_window;
  if (first_biased < num_blocks) {
    const at::Tensor near_blocks = blocks.index.narrow(0, first_biased, num_blocks - first_biased);
    const at::Tensor positions =
        ((near_blocks * sizes.block_size).unsqueeze(1) + at::arange(text_size, options)).flatten();
    text_scores.narrow(-1, first_biased * text_size, positions.size(0)).add_(bias_of(queries, positions, sizes, type));
  }
  const at::Tensor text_weights =
      (at::softmax(text_scores.unflatten(-1, {num_blocks, text_size}), -1) * weights[1].unsqueeze(-1)).flatten(-2);
  const at::ScalarType value_type = queries.value.scalar_type();
  const at::Tensor mixed = at::matmul(weights[0].to(value_type), heads_first(queries.value)) +
                           at::matmul(text_weights.to(value_type), all_text(blocks.value).transpose(1, 2).unsqueeze(1));
  return ungroup_heads(mixed, queries.query.size(3));
}

at::Tensor landmark_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                              const LandmarkAttentionSizes& sizes) {
  check_arguments(query, key, value, sizes);
  return LandmarkAttention::apply(query, key, value, sizes.block_size, sizes.window_size, sizes.top_k);
}

}  // namespace lookback
