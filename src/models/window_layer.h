// The Llama layer whose attention sees a window, as a layer of a stack: what other models put around their one layer
// that remembers.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "models/layer_stack.h"

namespace lookback {

// Keys and values of the last positions.
class WindowState : public LayerState {
 public:
  explicit WindowState(const ModelConfig& config) : config_(config) {}

  std::unique_ptr<LayerState> copy() const override;
  std::int64_t window_bytes() const override { return cache.bytes(); }
  void save(NamedTensors& state, const std::string& name) const override;
  void restore(StateReader& reader, const std::string& name, std::int64_t num_positions) override;

  WindowCache cache;

 private:
  const ModelConfig& config_;
};

// The keys of a window as its attention takes them, beside a cache that keeps them without positions for what knows
// none (a memory, a state): with rotary positions the two differ. Not thread-safe.
class RotatedKeys {
 public:
  // Puts the rotated keys [T, Hkv, D] of new positions behind those of the window; returns all that they see
  // [M + T, Hkv, D], valid until the next append.
  at::Tensor append(const at::Tensor& key, std::int64_t window_size);

  RotatedKeys copy() const;
  std::int64_t bytes() const { return cache_.bytes(); }

  // As <name>.rotated_key, if there are any. kept: the keys of the cache beside it, undefined when there are none.
  void save(NamedTensors& state, const std::string& name, std::int64_t window_size) const;
  void restore(StateReader& reader, const std::string& name, const at::Tensor& kept, const ModelConfig& config);

 private:
  WindowCache cache_;  // values of no width
};

class WindowLayer : public StackLayer {
 public:
  // Both outlive the layer.
  WindowLayer(LlamaLayer layer, const ModelConfig& config) : layer_(std::move(layer)), config_(config) {}

  at::Tensor forward(const at::Tensor& x, const AttentionWindow& window, bool training) const override;
  at::Tensor step(const at::Tensor& x, const AttentionWindow& window,
                  const std::vector<StepRows>& sequences) const override;
  std::unique_ptr<LayerState> new_state(const at::TensorOptions&) const override {
    return std::make_unique<WindowState>(config_);
  }
  std::optional<std::int64_t> reach() const override { return config_.window_size; }

 private:
  LlamaLayer layer_;
  const ModelConfig& config_;
};

// Layer i of a stack.
std::unique_ptr<StackLayer> make_window_layer(ParameterSet& parameters, const ModelConfig& config, std::int64_t i);

// Such layers around layer memory_layer, which `make` makes of a Llama layer.
using MakeMemoryLayer = std::function<std::unique_ptr<StackLayer>(LlamaLayer layer)>;
StackLayers make_layers_around_memory(ParameterSet& parameters, const ModelConfig& config, std::int64_t memory_layer,
                                      const MakeMemoryLayer& make);

// The name of layer i's parameters: model.layers.<i>.
std::string layer_prefix(std::int64_t i);

// Throws Error naming `source` unless there is such a layer [memory_layer].
void check_memory_layer(std::int64_t memory_layer, const ModelConfig& config, const std::string& source);

}  // namespace lookback
