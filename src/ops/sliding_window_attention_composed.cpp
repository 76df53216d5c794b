#include "ops/sliding_window_attention_composed.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/head_groups.h"
#include "ops/kernel_tensors.h"

namespace lookback {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// How queries are cut into blocks: a block of B queries reads W + B keys, those of its own positions and the W
// before. Keys are padded so that block b's keys are rows [b B, b B + W + B).
struct Blocking {
  std::int64_t window;         // W
  std::int64_t block;          // B
  std::int64_t num_blocks;     // ceil(L / B)
  std::int64_t blocks_a_time;  // so that scores stay below intermediate_bytes()
  std::int64_t skipped;        // key rows that no query sees
  std::int64_t left_padding;   // rows missing before the first key
  std::int64_t keys() const { return window + block; }
};

Blocking make_blocking(const at::Tensor& query, const at::Tensor& key, std::int64_t window) {
  const std::int64_t length = query.size(1);
  const std::int64_t past = key.size(1) - length;
  Blocking blocking{};
  blocking.window = window;
  // Larger blocks waste scores outside the window, smaller ones copy keys more often.
  constexpr std::int64_t smallest_block = 32;
  constexpr std::int64_t largest_block = 128;
  blocking.block = std::min(length, std::clamp((window + 1) / 2, smallest_block, largest_block));
  blocking.num_blocks = (length + blocking.block - 1) / blocking.block;
  blocking.skipped = std::max<std::int64_t>(0, past - window);
  blocking.left_padding = std::max<std::int64_t>(0, window - past);
  const std::int64_t score_bytes =
      query.size(0) * query.size(2) * blocking.block * blocking.keys() * static_cast<std::int64_t>(sizeof(float));
  blocking.blocks_a_time = std::clamp<std::int64_t>(intermediate_bytes(query) / std::max<std::int64_t>(score_bytes, 1),
                                                    1, blocking.num_blocks);
  return blocking;
}

// [N, T, Hkv, D] -> [N, W + num_blocks B, Hkv, D], zeros where there is no key.
at::Tensor pad_keys(const at::Tensor& keys, const Blocking& blocking) {
  const at::Tensor used = keys.narrow(1, blocking.skipped, keys.size(1) - blocking.skipped);
  const std::int64_t padded_length = blocking.window + blocking.num_blocks * blocking.block;
  const std::int64_t right = padded_length - blocking.left_padding - used.size(1);
  return at::constant_pad_nd(used, {0, 0, 0, 0, blocking.left_padding, right});
}

// The overlapping rows of `count` blocks from `first` as [N, count, W + B, Hkv, D], without a copy.
at::Tensor key_windows(const at::Tensor& padded, const Blocking& blocking, std::int64_t first, std::int64_t count) {
  return padded.narrow(1, first * blocking.block, (count - 1) * blocking.block + blocking.keys())
      .unfold(1, blocking.keys(), blocking.block)
      .permute({0, 1, 4, 2, 3});
}

// m_h [H].
at::Tensor bias_slopes(PositionBias position_bias, std::int64_t num_heads, const at::TensorOptions& options) {
  if (position_bias == PositionBias::none) return at::zeros({num_heads}, options);
  return at::exp2(at::arange(1, num_heads + 1, options) * (-8.0 / static_cast<double>(num_heads)));
}

// -m_h * distance, -inf outside the window: [Hkv, R * B, W + B].
at::Tensor window_bias(PositionBias position_bias, const Blocking& blocking, std::int64_t num_heads,
                       std::int64_t num_kv_heads, const at::TensorOptions& options) {
  const at::Tensor distance = at::arange(blocking.block, options).unsqueeze(1) + blocking.window -
                              at::arange(blocking.keys(), options).unsqueeze(0);
  const at::Tensor slopes = bias_slopes(position_bias, num_heads, options);
  const at::Tensor outside = distance.lt(0).logical_or(distance.gt(blocking.window));
  return (slopes.view({-1, 1, 1}) * -distance)
      .masked_fill_(outside, -INFINITY)
      .view({num_kv_heads, -1, blocking.keys()});
}

// The blocks' queries, keys, values and softmax probabilities: what forward and backward both need.
struct BlockGroup {
  at::Tensor query, key, value;  // [N, n, Hkv, R B, D], [N, n, Hkv, W + B, D] twice
  at::Tensor probabilities;      // [N, n, Hkv, R B, W + B]
};

BlockGroup attend(const at::Tensor& query_blocks, const at::Tensor& padded_key, const at::Tensor& padded_value,
                  const at::Tensor& bias, const Blocking& blocking, std::int64_t first, std::int64_t count) {
  const std::int64_t num_kv_heads = padded_key.size(2);
  const double scale = 1.0 / std::sqrt(static_cast<double>(query_blocks.size(-1)));
  BlockGroup group;
  group.query = group_heads(query_blocks.narrow(1, first, count), num_kv_heads).mul(scale);
  group.key = key_windows(padded_key, blocking, first, count).transpose(2, 3).contiguous();
  group.value = key_windows(padded_value, blocking, first, count).transpose(2, 3).contiguous();
  at::Tensor scores = at::matmul(group.query, group.key.transpose(-1, -2)).to(bias.scalar_type());
  scores.add_(bias);
  // Rows before the first key exist only as padding, which the first blocks' windows reach.
  for (std::int64_t b = first; b < first + count && b * blocking.block < blocking.left_padding; ++b) {
    scores.select(1, b - first)
        .narrow(-1, 0, std::min(blocking.left_padding - b * blocking.block, blocking.keys()))
        .fill_(-INFINITY);
  }
  group.probabilities = at::softmax(scores, -1).to(query_blocks.scalar_type());
  return group;
}

at::Tensor query_blocks_of(const at::Tensor& query, const Blocking& blocking) {
  const std::int64_t missing = blocking.num_blocks * blocking.block - query.size(1);
  return at::constant_pad_nd(query, {0, 0, 0, 0, 0, missing}).unflatten(1, {blocking.num_blocks, blocking.block});
}

at::TensorOptions score_options(const at::Tensor& query) {
  return query.options().dtype(query.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
}

at::Tensor unpad(const at::Tensor& padded, const at::Tensor& like, const Blocking& blocking) {
  const std::int64_t used = like.size(1) - blocking.skipped;
  return at::constant_pad_nd(padded.narrow(1, blocking.left_padding, used), {0, 0, 0, 0, blocking.skipped, 0})
      .to(like.scalar_type());
}

class ComposedSlidingWindowAttention : public torch::autograd::Function<ComposedSlidingWindowAttention> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value, std::int64_t window, PositionBias position_bias) {
    context->save_for_backward({query, key, value});
    context->saved_data["window"] = window;
    context->saved_data["bias"] = static_cast<std::int64_t>(position_bias);
    const Blocking blocking = make_blocking(query, key, window);
    const at::Tensor padded_key = pad_keys(key, blocking);
    const at::Tensor padded_value = pad_keys(value, blocking);
    const at::Tensor query_blocks = query_blocks_of(query, blocking);
    const at::Tensor bias = window_bias(position_bias, blocking, query.size(2), key.size(2), score_options(query));
    at::Tensor output = at::empty(query_blocks.sizes(), query.options());
    for (std::int64_t first = 0; first < blocking.num_blocks; first += blocking.blocks_a_time) {
      const std::int64_t count = std::min(blocking.blocks_a_time, blocking.num_blocks - first);
      const BlockGroup group = attend(query_blocks, padded_key, padded_value, bias, blocking, first, count);
      output.narrow(1, first, count).copy_(ungroup_heads(at::matmul(group.probabilities, group.value), query.size(2)));
    }
    return output.flatten(1, 2).narrow(1, 0, query.size(1));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const SlidingWindowGrads grads = sliding_window_attention_composed_backward(
        gradients[0], saved[0], saved[1], saved[2], context->saved_data["window"].toInt(),
        static_cast<PositionBias>(context->saved_data["bias"].toInt()));
    return {grads.query, grads.key, grads.value, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor sliding_window_attention_composed(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                             std::int64_t window_size, PositionBias position_bias) {
  return ComposedSlidingWindowAttention::apply(query, key, value, window_size, position_bias);
}

SlidingWindowGrads sliding_window_attention_composed_backward(const at::Tensor& grad_output, const at::Tensor& query,
                                                              const at::Tensor& key, const at::Tensor& value,
                                                              std::int64_t window_size, PositionBias position_bias) {
  const Blocking blocking = make_blocking(query, key, window_size);
  const at::Tensor padded_key = pad_keys(key, blocking);
  const at::Tensor padded_value = pad_keys(value, blocking);
  const at::Tensor query_blocks = query_blocks_of(query, blocking);
  const at::Tensor grad_blocks = query_blocks_of(grad_output, blocking);
  const at::Tensor bias = window_bias(position_bias, blocking, query.size(2), key.size(2), score_options(query));
  at::Tensor grad_query = at::empty(query_blocks.sizes(), query.options());
  at::Tensor grad_key = at::zeros(padded_key.sizes(), bias.options());
  at::Tensor grad_value = at::zeros(padded_value.sizes(), bias.options());
  const double scale = 1.0 / std::sqrt(static_cast<double>(query.size(-1)));
  for (std::int64_t first = 0; first < blocking.num_blocks; first += blocking.blocks_a_time) {
    const std::int64_t count = std::min(blocking.blocks_a_time, blocking.num_blocks - first);
    const BlockGroup group = attend(query_blocks, padded_key, padded_value, bias, blocking, first, count);
    const at::Tensor grad_heads = group_heads(grad_blocks.narrow(1, first, count), key.size(2)).contiguous();
    const at::Tensor grad_probabilities = at::matmul(grad_heads, group.value.transpose(-1, -2));
    const at::Tensor grad_scores =
        at::_softmax_backward_data(grad_probabilities, group.probabilities, -1, query.scalar_type());
    grad_query.narrow(1, first, count)
        .copy_(ungroup_heads(at::matmul(grad_scores, group.key).mul_(scale), query.size(2)));
    // group.query already carries the scale.
    const at::Tensor grad_key_windows = at::matmul(grad_scores.transpose(-1, -2), group.query).transpose(2, 3);
    const at::Tensor grad_value_windows = at::matmul(group.probabilities.transpose(-1, -2), grad_heads).transpose(2, 3);
    for (std::int64_t b = 0; b < count; ++b) {
      const std::int64_t row = (first + b) * blocking.block;
      grad_key.narrow(1, row, blocking.keys()).add_(grad_key_windows.select(1, b));
      grad_value.narrow(1, row, blocking.keys()).add_(grad_value_windows.select(1, b));
    }
  }
  return {grad_query.flatten(1, 2).narrow(1, 0, query.size(1)), unpad(grad_key, key, blocking),
          unpad(grad_value, value, blocking)};
}

}  // namespace lookback
