#include "models/window_layer.h"

#include <algorithm>

#include "core/error.h"
#include "models/layer_sizes.h"

namespace lookback {

std::unique_ptr<LayerState> WindowState::copy() const {
  auto copy = std::make_unique<WindowState>(config_);
  copy->cache = cache.copy();
  return copy;
}

void WindowState::save(NamedTensors& state, const std::string& name) const {
  save_window(state, name, cache, config_.window_size);
}

void WindowState::restore(StateReader& reader, const std::string& name, std::int64_t) {
  cache = reader.take_window(name, config_.window_size, config_.num_kv_heads, config_.head_dim());
}

at::Tensor RotatedKeys::append(const at::Tensor& key, std::int64_t window_size) {
  return cache_.append(key, key.narrow(2, 0, 0), window_size).key;
}

RotatedKeys RotatedKeys::copy() const {
  RotatedKeys result;
  result.cache_ = cache_.copy();
  return result;
}

void RotatedKeys::save(NamedTensors& state, const std::string& name, std::int64_t window_size) const {
  const at::Tensor key = cache_.kept(window_size).key;
  if (key.defined()) state.emplace_back(name + ".rotated_key", key);
}

void RotatedKeys::restore(StateReader& reader, const std::string& name, const at::Tensor& kept,
                          const ModelConfig& config) {
  if (config.window_positions != WindowPositions::rope || !kept.defined()) return;
  const std::int64_t count = std::min(kept.size(0), config.window_size);
  append(reader.take(name + ".rotated_key", {count, config.num_kv_heads, config.head_dim()}), config.window_size);
}

at::Tensor WindowLayer::forward(const at::Tensor& x, const AttentionWindow& window, bool) const {
  const at::Tensor attended = windowed_attention_block(layer_, x, window);
  return mlp_block(layer_, attended, attended);
}

at::Tensor WindowLayer::step(const at::Tensor& x, const AttentionWindow& window,
                             const std::vector<StepRows>& sequences) const {
  std::vector<WindowedRows> rows;
  for (const StepRows& one : sequences) {
    rows.push_back({one.first_row, one.num_rows, &static_cast<WindowState*>(one.state)->cache});
  }
  const at::Tensor attended = windowed_attention_block(layer_, x, window, rows);
  return mlp_block(layer_, attended, attended);
}

std::string layer_prefix(std::int64_t i) { return "model.layers." + std::to_string(i) + "."; }

std::unique_ptr<StackLayer> make_window_layer(ParameterSet& parameters, const ModelConfig& config, std::int64_t i) {
  return std::make_unique<WindowLayer>(make_llama_layer(parameters, layer_prefix(i), decoder_layer_sizes(config)),
                                       config);
}

StackLayers make_layers_around_memory(ParameterSet& parameters, const ModelConfig& config, std::int64_t memory_layer,
                                      const MakeMemoryLayer& make) {
  StackLayers layers;
  for (std::int64_t i = 0; i < config.num_layers; ++i) {
    layers.push_back(i == memory_layer
                         ? make(make_llama_layer(parameters, layer_prefix(i), decoder_layer_sizes(config)))
                         : make_window_layer(parameters, config, i));
  }
  return layers;
}

void check_memory_layer(std::int64_t memory_layer, const ModelConfig& config, const std::string& source) {
  require(memory_layer >= 0 && memory_layer < config.num_layers,
          "{}: memory_layer {} is none of the {} layers (they count from 0)", source, memory_layer, config.num_layers);
}

}  // namespace lookback
