#include "models/layer_stack.h"

#include <algorithm>

#include "core/error.h"
#include "models/attention_window.h"
#include "models/device.h"
#include "models/landmarks.h"
#include "models/packed_rows.h"
#include "models/stack_sequence.h"
#include "models/window_layer.h"
#include "nn/recompute.h"

namespace lookback {

LayerStack::LayerStack(const ModelConfig& config, at::Device device, std::uint64_t seed, MakeLayers& make_layers)
    : Model(config, device, seed) {
  layers_ = make_layers(parameters_, config_);
  norm_ = make_rms_norm(parameters_, "model.norm.weight", config.hidden_size, config.rms_norm_eps);
  for (std::int64_t i = 0; i < config.num_convolutions(config.num_layers); ++i) {
    convolutions_.push_back(make_short_convolution(parameters_, layer_prefix(i) + "conv.weight", config.conv_kernel,
                                                   config.hidden_size, 0.5));
  }
}

at::Tensor LayerStack::hidden_states(const at::Tensor& input_ids, const ForwardOptions& options) const {
  check_input_ids(input_ids);
  require(options.memory == nullptr, "a {} model reads no memory of other texts", config_.kind);
  if (options.retrievals != nullptr) options.retrievals->clear();
  const std::int64_t length = input_ids.size(1);
  at::Tensor ids = input_ids;
  if (config_.has_landmarks()) {
    const std::int64_t missing = (config_.chunk_size - length % config_.chunk_size) % config_.chunk_size;
    ids = insert_landmarks(at::constant_pad_nd(ids, {0, missing}, 0), config_);
  }
  at::Tensor x = embed(ids).to(options.dtype);
  const AttentionWindow window = attention_window(config_, {{0, x.size(1)}}, x.options());
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const auto& layer = layers_[i];
    const TensorFunction apply = [&layer, window, training = options.training](const std::vector<at::Tensor>& inputs) {
      return layer->forward(inputs[0], window, training);
    };
    const at::Tensor convolved = i < convolutions_.size() ? short_convolution(convolutions_[i], x) : at::Tensor();
    x = apply_convolved(x, convolved, [&](const at::Tensor& seen) {
      return options.gradient_checkpointing ? recompute_in_backward(apply, {seen}) : apply({seen});
    });
  }
  x = rms_norm(norm_, x);
  if (!config_.has_landmarks()) return x;
  const at::Tensor text = x.unflatten(1, {-1, config_.chunk_size + 1}).narrow(2, 0, config_.chunk_size);
  return text.flatten(1, 2).narrow(1, 0, length);
}

std::unique_ptr<Sequence> LayerStack::new_sequence(at::ScalarType dtype) const {
  return std::make_unique<StackSequence>(*this, embedding_.options().dtype(dtype));
}

std::int64_t LayerStack::num_positions(std::int64_t num_tokens) const {
  return config_.has_landmarks() ? count_positions(num_tokens, config_) : num_tokens;
}

LayerStack::Reach LayerStack::reach() const {
  Reach reach{layers_.size(), 0};
  for (; reach.num_layers_for_all > 0; --reach.num_layers_for_all) {
    const std::optional<std::int64_t> own = layers_[reach.num_layers_for_all - 1]->reach();
    if (!own) break;
    reach.positions += *own;
    if (reach.num_layers_for_all <= convolutions_.size()) {
      reach.positions += convolutions_[reach.num_layers_for_all - 1].reach();
    }
  }
  return reach;
}

at::Tensor LayerStack::run_layers(std::span<const Piece> pieces, const std::vector<std::int64_t>& first_tokens,
                                  std::size_t num_layers) const {
  std::vector<StepRows> rows;
  std::vector<StackSequence*> sequences;
  std::vector<at::Tensor> ids;
  std::vector<PositionRange> positions;
  std::int64_t num_rows = 0;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const std::int64_t first_token = pieces[i].sequence->num_tokens() + first_tokens[i];
    const at::Tensor tokens = ids_tensor(pieces[i].ids);
    ids.push_back(config_.has_landmarks() ? continue_with_landmarks(tokens, first_token, config_) : tokens);
    sequences.push_back(static_cast<StackSequence*>(pieces[i].sequence));
    rows.push_back({num_rows, ids.back().size(0), num_positions(first_token), nullptr});
    positions.push_back({rows.back().first_position, rows.back().num_rows});
    num_rows += ids.back().size(0);
  }
  const at::Tensor all_ids = join_rows(ids);
  at::Tensor x = embed(all_ids).to(sequences.front()->options().dtype());  // [positions, d]
  const AttentionWindow window = attention_window(config_, positions, x.options());
  for (std::size_t i = 0; i < num_layers; ++i) {
    at::Tensor convolved;
    if (i < convolutions_.size()) {
      std::vector<ConvolvedRows> convolved_rows;
      for (std::size_t n = 0; n < rows.size(); ++n) {
        convolved_rows.push_back({rows[n].first_row, rows[n].num_rows, &sequences[n]->convolved[i]});
      }
      convolved = short_convolution(convolutions_[i], x, convolved_rows);
    }
    for (std::size_t n = 0; n < rows.size(); ++n) rows[n].state = sequences[n]->layers[i].get();
    x = apply_convolved(x, convolved, [&](const at::Tensor& seen) { return layers_[i]->step(seen, window, rows); });
  }
  if (!config_.has_landmarks()) return x;
  const at::Tensor text_rows = all_ids.ne(config_.landmark_id).nonzero().squeeze(1);
  return x.index_select(0, copy_to_device(text_rows, x.device()));
}

at::Tensor LayerStack::advance(std::span<const Piece> pieces) const {
  const auto [num_layers_for_all, reach_positions] = reach();
  // Tokens that nothing needs behind the layers for all, and the others.
  std::vector<Piece> early;
  std::vector<Piece> late;
  std::vector<std::int64_t> late_begins;
  std::vector<at::Tensor> wanted;  // rows of the late ones
  std::int64_t num_rows = 0;
  for (const Piece& piece : pieces) {
    const std::int64_t count = std::ssize(piece.ids);
    const std::int64_t begin = std::clamp<std::int64_t>(piece.first_wanted - reach_positions, 0, count);
    if (begin > 0) {
      early.push_back({piece.sequence, piece.ids.first(static_cast<std::size_t>(begin)), begin});
      auto& sequence = static_cast<StackSequence&>(*piece.sequence);
      for (std::size_t i = num_layers_for_all; i < layers_.size(); ++i) sequence.reset_layer(i);
    }
    if (begin == count) continue;
    late.push_back({piece.sequence, piece.ids.subspan(static_cast<std::size_t>(begin)), 0});
    late_begins.push_back(begin);
    const std::int64_t first = std::min(piece.first_wanted, count) - begin;
    wanted.push_back(at::arange(num_rows + first, num_rows + count - begin, at::kLong));
    num_rows += count - begin;
  }
  if (!early.empty() && num_layers_for_all > 0) {
    run_layers(early, std::vector<std::int64_t>(early.size(), 0), num_layers_for_all);
  }
  const auto nothing = [&] {
    return at::empty({0, config_.hidden_size}, static_cast<StackSequence*>(pieces.front().sequence)->options());
  };
  if (late.empty()) return nothing();
  const at::Tensor x = run_layers(late, late_begins, layers_.size());
  const at::Tensor rows = join_rows(wanted);
  if (rows.size(0) == 0) return nothing();
  return rms_norm(norm_, rows.size(0) == num_rows ? x : x.index_select(0, rows.to(x.device())));
}

}  // namespace lookback
