#include "ops/landmark_blocks.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "ops/head_groups.h"

namespace lookback {
namespace {

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

}  // namespace lookback
