#include "models/stack_sequence.h"

#include <string>

namespace lookback {
namespace {

std::string name_of_layer(std::size_t layer) { return "layer." + std::to_string(layer); }

}  // namespace

StackSequence::StackSequence(const LayerStack& model, const at::TensorOptions& options)
    : Sequence(model, options), layers(model.layers_.size()), convolved(model.convolutions_.size()), model_(model) {
  for (std::size_t i = 0; i < layers.size(); ++i) reset_layer(i);
}

// Tensors that are replaced, never written to, are shared.
StackSequence::StackSequence(const StackSequence& other)
    : Sequence(other), convolved(other.convolved), model_(other.model_) {
  for (const auto& layer : other.layers) layers.push_back(layer->copy());
}

std::unique_ptr<Sequence> StackSequence::fork() const { return std::unique_ptr<Sequence>(new StackSequence(*this)); }

void StackSequence::reset_layer(std::size_t layer) {
  layers[layer] = model_.layers_[layer]->new_state(options());
  if (layer < convolved.size()) convolved[layer] = at::empty({0, model_.config().hidden_size}, options());
}

std::int64_t StackSequence::memory_bytes() const {
  std::int64_t sum = 0;
  for (const auto& layer : layers) sum += layer->memory_bytes();
  return sum;
}

std::int64_t StackSequence::window_bytes() const {
  std::int64_t sum = 0;
  for (const auto& layer : layers) sum += layer->window_bytes();
  for (const at::Tensor& rows : convolved) sum += static_cast<std::int64_t>(rows.nbytes());
  return sum;
}

void StackSequence::save_state(NamedTensors& state) const {
  for (std::size_t i = 0; i < layers.size(); ++i) layers[i]->save(state, name_of_layer(i));
  for (std::size_t i = 0; i < convolved.size(); ++i) state.emplace_back(name_of_layer(i) + ".conv", convolved[i]);
}

void StackSequence::restore_state(StateReader& reader) {
  const std::int64_t num_positions = model_.num_positions(num_tokens());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    layers[i]->restore(reader, name_of_layer(i), num_positions);
  }
  for (std::size_t i = 0; i < convolved.size(); ++i) {
    convolved[i] = take_convolved(reader, name_of_layer(i) + ".conv", model_.config());
  }
}

}  // namespace lookback
