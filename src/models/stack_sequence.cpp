#include "models/stack_sequence.h"

namespace lookback {

StackSequence::StackSequence(const LayerStack& model, const at::TensorOptions& options)
    : Sequence(model, options), layers(model.layers_.size()), model_(model) {
  for (std::size_t i = 0; i < layers.size(); ++i) reset_layer(i);
}

StackSequence::StackSequence(const StackSequence& other) : Sequence(other), model_(other.model_) {
  for (const auto& layer : other.layers) layers.push_back(layer->copy());
}

std::unique_ptr<Sequence> StackSequence::fork() const { return std::unique_ptr<Sequence>(new StackSequence(*this)); }

void StackSequence::reset_layer(std::size_t layer) { layers[layer] = model_.layers_[layer]->new_state(options()); }

std::int64_t StackSequence::memory_bytes() const {
  std::int64_t sum = 0;
  for (const auto& layer : layers) sum += layer->memory_bytes();
  return sum;
}

std::int64_t StackSequence::window_bytes() const {
  std::int64_t sum = 0;
  for (const auto& layer : layers) sum += layer->window_bytes();
  return sum;
}

void StackSequence::save_state(NamedTensors& state) const {
  for (std::size_t i = 0; i < layers.size(); ++i) layers[i]->save(state, "layer." + std::to_string(i));
}

void StackSequence::restore_state(StateReader& reader) {
  const std::int64_t num_positions = model_.num_positions(num_tokens());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    layers[i]->restore(reader, "layer." + std::to_string(i), num_positions);
  }
}

}  // namespace lookback
