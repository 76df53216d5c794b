#include "models/sliding_window.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "core/error.h"
#include "models/layer_sizes.h"
#include "models/packed_rows.h"
#include "models/session_state.h"
#include "nn/recompute.h"

namespace lookback {

SlidingWindowModel::SlidingWindowModel(const ModelConfig& config, at::Device device, std::uint64_t seed)
    : Model(config, device, seed) {
  for (std::int64_t i = 0; i < config.num_layers; ++i) {
    layers_.push_back(
        make_llama_layer(parameters_, "model.layers." + std::to_string(i) + ".", decoder_layer_sizes(config)));
  }
  norm_ = make_rms_norm(parameters_, "model.norm.weight", config.hidden_size, config.rms_norm_eps);
}

at::Tensor SlidingWindowModel::hidden_states(const at::Tensor& input_ids, const ForwardOptions& options) {
  check_input_ids(input_ids);
  at::Tensor x = at::embedding(embedding_, input_ids.clamp_min(0)).to(options.dtype);
  for (const LlamaLayer& layer : layers_) {
    const TensorFunction apply = [this, &layer](const std::vector<at::Tensor>& inputs) {
      const at::Tensor attended = windowed_attention_block(layer, inputs[0], config_.window_size);
      return mlp_block(layer, attended, attended);
    };
    x = options.gradient_checkpointing ? recompute_in_backward(apply, {x}) : apply({x});
  }
  return rms_norm(norm_, x);
}

class SlidingWindowSession : public Session {
 public:
  SlidingWindowSession(const SlidingWindowModel& model, std::int64_t batch_size, at::ScalarType dtype)
      : model_(model), dtype_(dtype) {
    require(batch_size >= 1, "batch_size: expected at least 1, found {}", batch_size);
    for (std::int64_t n = 0; n < batch_size; ++n) sequences_.push_back(new_sequence());
  }

  std::int64_t num_sequences() const override { return static_cast<std::int64_t>(sequences_.size()); }

  at::Tensor append(const at::Tensor& input_ids) override {
    const at::NoGradGuard no_gradients;
    model_.check_session_ids(input_ids, num_sequences());
    return advance(input_ids, count_tokens(input_ids));
  }

  at::Tensor prefill(const at::Tensor& input_ids, const PrefillOptions& options) override {
    const at::NoGradGuard no_gradients;
    model_.check_session_ids(input_ids, num_sequences());
    // Nothing further back than the layers' windows together reaches the last position or any later one.
    const std::int64_t reach = model_.config_.num_layers * (model_.config_.window_size + 1);
    const std::vector<std::int64_t> lengths = count_tokens(input_ids);
    std::vector<at::Tensor> rows;
    for (std::size_t n = 0; n < lengths.size(); ++n) {
      require(lengths[n] >= 1, "input_ids: sequence {} has no token to read", n);
      const std::int64_t begin = std::max<std::int64_t>(0, lengths[n] - reach);
      if (begin > 0) {
        sequences_[n].caches = new_sequence().caches;
        sequences_[n].num_tokens += begin;
      }
      rows.push_back(input_ids[static_cast<std::int64_t>(n)].narrow(0, begin, lengths[n] - begin));
    }
    const std::int64_t longest = *std::ranges::max_element(lengths);
    const at::Tensor read = pad_ids(rows);
    const std::int64_t width = read.size(1);
    at::Tensor last =
        at::empty({num_sequences(), 1, model_.config_.hidden_size}, model_.embedding_.options().dtype(dtype_));
    for (std::int64_t first = 0; first < width; first += options.segment_tokens) {
      const std::int64_t count = std::min(options.segment_tokens, width - first);
      const at::Tensor ids = read.narrow(1, first, count);
      const std::vector<std::int64_t> counts = count_tokens(ids);
      keep_last_rows(advance(ids, counts), counts, last);
      if (options.on_progress && !options.on_progress(longest - width + first + count)) fail("interrupted");
    }
    return last;
  }

  void select(const std::vector<std::int64_t>& rows) override {
    sequences_ = select_sequences(std::move(sequences_), rows, [](const Sequence& from) {
      Sequence copy{from.num_tokens, {}};
      for (const WindowCache& cache : from.caches) copy.caches.push_back(cache.copy());
      return copy;
    });
  }

  std::int64_t num_tokens(std::int64_t sequence) const override {
    return sequences_.at(static_cast<std::size_t>(sequence)).num_tokens;
  }
  std::int64_t memory_bytes() const override { return 0; }
  std::int64_t window_bytes() const override {
    std::int64_t sum = 0;
    for (const Sequence& sequence : sequences_) {
      for (const WindowCache& cache : sequence.caches) sum += cache.bytes();
    }
    return sum;
  }

  NamedTensors state() const override {
    NamedTensors state{{"num_sequences", at::scalar_tensor(num_sequences(), at::kLong)}};
    for (std::size_t n = 0; n < sequences_.size(); ++n) {
      const std::string name = "sequence." + std::to_string(n);
      state.emplace_back(name + ".num_tokens", at::scalar_tensor(sequences_[n].num_tokens, at::kLong));
      for (std::size_t i = 0; i < sequences_[n].caches.size(); ++i) {
        save_window(state, name + ".layer." + std::to_string(i), sequences_[n].caches[i], model_.config_.window_size);
      }
    }
    return state;
  }

  void restore(const NamedTensors& state) override {
    StateReader reader(state, model_.embedding_.options().dtype(dtype_));
    std::vector<Sequence> sequences(static_cast<std::size_t>(reader.take_count("num_sequences")));
    for (std::size_t n = 0; n < sequences.size(); ++n) {
      const std::string name = "sequence." + std::to_string(n);
      sequences[n].num_tokens = reader.take_count(name + ".num_tokens");
      for (std::size_t i = 0; i < model_.layers_.size(); ++i) {
        sequences[n].caches.push_back(reader.take_window(name + ".layer." + std::to_string(i),
                                                         model_.config_.window_size, model_.config_.num_kv_heads,
                                                         model_.config_.head_dim()));
      }
    }
    reader.finish();
    sequences_ = std::move(sequences);
  }

 private:
  struct Sequence {
    std::int64_t num_tokens = 0;
    std::vector<WindowCache> caches;
  };
  Sequence new_sequence() const {
    Sequence sequence;
    sequence.caches.resize(model_.layers_.size());
    return sequence;
  }

  at::Tensor advance(const at::Tensor& input_ids, const std::vector<std::int64_t>& counts) {
    at::Tensor x = at::embedding(model_.embedding_, input_ids.masked_select(input_ids.ge(0))).to(dtype_);  // [R, d]
    for (std::size_t i = 0; i < model_.layers_.size(); ++i) {
      std::vector<WindowedRows> rows;
      std::int64_t first_row = 0;
      for (std::size_t n = 0; n < counts.size(); ++n) {
        if (counts[n] > 0) rows.push_back({first_row, counts[n], &sequences_[n].caches[i]});
        first_row += counts[n];
      }
      const LlamaLayer& layer = model_.layers_[i];
      const at::Tensor attended = windowed_attention_block(layer, x, model_.config_.window_size, rows);
      x = mlp_block(layer, attended, attended);
    }
    for (std::size_t n = 0; n < counts.size(); ++n) sequences_[n].num_tokens += counts[n];
    return unpack_rows(rms_norm(model_.norm_, x), counts, input_ids.size(1));
  }

  const SlidingWindowModel& model_;
  at::ScalarType dtype_;
  std::vector<Sequence> sequences_;
};

std::unique_ptr<Session> SlidingWindowModel::new_session(std::int64_t batch_size, at::ScalarType dtype) {
  return std::make_unique<SlidingWindowSession>(*this, batch_size, dtype);
}

}  // namespace lookback
