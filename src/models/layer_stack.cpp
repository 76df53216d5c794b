#include "models/layer_stack.h"

#include "models/landmarks.h"
#include "models/stack_session.h"
#include "nn/recompute.h"

namespace lookback {

LayerStack::LayerStack(const ModelConfig& config, at::Device device, std::uint64_t seed, MakeLayers& make_layers)
    : Model(config, device, seed) {
  layers_ = make_layers(parameters_, config_);
  norm_ = make_rms_norm(parameters_, "model.norm.weight", config.hidden_size, config.rms_norm_eps);
}

at::Tensor LayerStack::hidden_states(const at::Tensor& input_ids, const ForwardOptions& options) {
  check_input_ids(input_ids);
  if (options.retrievals != nullptr) options.retrievals->clear();
  const std::int64_t length = input_ids.size(1);
  at::Tensor ids = input_ids.clamp_min(0);
  if (config_.has_landmarks()) {
    const std::int64_t missing = (config_.chunk_size - length % config_.chunk_size) % config_.chunk_size;
    ids = insert_landmarks(at::constant_pad_nd(ids, {0, missing}, 0), config_);
  }
  at::Tensor x = at::embedding(embedding_, ids).to(options.dtype);
  for (const auto& layer : layers_) {
    const TensorFunction apply = [&layer, training = options.training](const std::vector<at::Tensor>& inputs) {
      return layer->forward(inputs[0], training);
    };
    x = options.gradient_checkpointing ? recompute_in_backward(apply, {x}) : apply({x});
  }
  x = rms_norm(norm_, x);
  if (!config_.has_landmarks()) return x;
  const at::Tensor text = x.unflatten(1, {-1, config_.chunk_size + 1}).narrow(2, 0, config_.chunk_size);
  return text.flatten(1, 2).narrow(1, 0, length);
}

std::unique_ptr<Session> LayerStack::new_session(std::int64_t batch_size, at::ScalarType dtype) {
  return std::make_unique<StackSession>(*this, batch_size, dtype);
}

}  // namespace lookback
