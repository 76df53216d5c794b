#include "models/sliding_window.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "core/error.h"
#include "models/layer_sizes.h"
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
      const at::Tensor attended = windowed_attention_block(layer, inputs[0], config_.window_size, nullptr);
      return mlp_block(layer, attended, attended);
    };
    x = options.gradient_checkpointing ? recompute_in_backward(apply, {x}) : apply({x});
  }
  return rms_norm(norm_, x);
}

class SlidingWindowSession : public Session {
 public:
  SlidingWindowSession(const SlidingWindowModel& model, std::int64_t batch_size, at::ScalarType dtype)
      : model_(model), batch_size_(batch_size), dtype_(dtype), caches_(model.layers_.size()) {}

  at::Tensor append(const at::Tensor& input_ids) override {
    const at::NoGradGuard no_gradients;
    model_.check_input_ids(input_ids);
    require(input_ids.size(0) == batch_size_, "input_ids: expected {} sequences, found {}", batch_size_,
            input_ids.size(0));
    at::Tensor x = at::embedding(model_.embedding_, input_ids.clamp_min(0)).to(dtype_);
    for (std::size_t i = 0; i < model_.layers_.size(); ++i) {
      const LlamaLayer& layer = model_.layers_[i];
      const at::Tensor attended = windowed_attention_block(layer, x, model_.config_.window_size, &caches_[i]);
      x = mlp_block(layer, attended, attended);
    }
    num_tokens_ += input_ids.size(1);
    return rms_norm(model_.norm_, x);
  }

  at::Tensor prefill(const at::Tensor& input_ids, const PrefillOptions& options) override {
    // Nothing further back than the layers' windows together reaches the last position or any later one.
    const std::int64_t reach = model_.config_.num_layers * (model_.config_.window_size + 1);
    const std::int64_t length = input_ids.size(1);
    const std::int64_t begin = std::max<std::int64_t>(0, length - reach);
    if (begin > 0) {
      std::fill(caches_.begin(), caches_.end(), WindowCache{});
      num_tokens_ += begin;
    }
    at::Tensor hidden;
    for (std::int64_t first = begin; first < length; first += options.segment_tokens) {
      const std::int64_t count = std::min(options.segment_tokens, length - first);
      hidden = append(input_ids.narrow(1, first, count));
      if (options.on_progress && !options.on_progress(first + count)) fail("interrupted");
    }
    return hidden.narrow(1, hidden.size(1) - 1, 1);
  }

  std::int64_t num_tokens() const override { return num_tokens_; }
  std::int64_t memory_bytes() const override { return 0; }
  std::int64_t window_bytes() const override {
    std::int64_t sum = 0;
    for (const WindowCache& cache : caches_) sum += cache.bytes();
    return sum;
  }

 private:
  const SlidingWindowModel& model_;
  std::int64_t batch_size_;
  at::ScalarType dtype_;
  std::vector<WindowCache> caches_;
  std::int64_t num_tokens_ = 0;
};

std::unique_ptr<Session> SlidingWindowModel::new_session(std::int64_t batch_size, at::ScalarType dtype) {
  return std::make_unique<SlidingWindowSession>(*this, batch_size, dtype);
}

}  // namespace lookback
