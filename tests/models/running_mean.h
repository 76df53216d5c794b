// The model that docs/adding-a-model.md adds: sliding windows around one layer that adds a projection of the mean of
// all that came before.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/config_checks.h"
#include "models/kind.h"
#include "models/layer_stack.h"
#include "models/packed_rows.h"
#include "models/window_layer.h"

namespace lookback {

// Keys in brackets are those of config.json.
struct RunningMeanConfig {
  std::int64_t mean_layer = 1;  // windows before the mean [mean_layer]
};

class MeanState : public LayerState {
 public:
  explicit MeanState(const at::Tensor& zero) : sum(zero) {}
  std::unique_ptr<LayerState> copy() const override { return std::make_unique<MeanState>(sum); }
  std::int64_t window_bytes() const override { return static_cast<std::int64_t>(sum.nbytes()); }
  void save(NamedTensors& state, const std::string& name) const override { state.emplace_back(name + ".sum", sum); }
  void restore(StateReader& reader, const std::string& name, std::int64_t /*num_positions*/) override {
    sum = reader.take(name + ".sum", sum.sizes());
  }

  at::Tensor sum;  // [d] of the normed inputs so far; replaced, never written to
};

class MeanLayer : public StackLayer {
 public:
  MeanLayer(RmsNorm norm, at::Tensor weight) : norm_(std::move(norm)), weight_(std::move(weight)) {}

  at::Tensor forward(const at::Tensor& x, const AttentionWindow&, bool /*training*/) const override {
    return x + project(means(rms_norm(norm_, x), 0), weight_);
  }

  at::Tensor step(const at::Tensor& x, const AttentionWindow&, const std::vector<StepRows>& sequences) const override {
    const at::Tensor normed = rms_norm(norm_, x);
    std::vector<at::Tensor> rows;
    for (const StepRows& one : sequences) {
      MeanState& state = static_cast<MeanState&>(*one.state);
      const at::Tensor sums = normed.narrow(0, one.first_row, one.num_rows).cumsum(0) + state.sum;
      state.sum = sums[one.num_rows - 1].clone();
      rows.push_back(sums / counts(one.num_rows, one.first_position, x));
    }
    return x + project(join_rows(rows), weight_);
  }

  std::unique_ptr<LayerState> new_state(const at::TensorOptions& options) const override {
    return std::make_unique<MeanState>(at::zeros({weight_.size(1)}, options));
  }
  std::optional<std::int64_t> reach() const override { return std::nullopt; }

 private:
  static at::Tensor counts(std::int64_t num_rows, std::int64_t first_position, const at::Tensor& like) {
    return at::arange(first_position + 1, first_position + 1 + num_rows, like.options()).unsqueeze(1);
  }
  static at::Tensor means(const at::Tensor& normed, std::int64_t first_position) {
    return normed.cumsum(1) / counts(normed.size(1), first_position, normed);
  }

  RmsNorm norm_;
  at::Tensor weight_;  // [d, d]
};

inline StackLayers make_running_mean_layers(ParameterSet& parameters, const ModelConfig& config) {
  StackLayers layers;
  for (std::int64_t i = 0; i < config.num_layers; ++i) layers.push_back(make_window_layer(parameters, config, i));
  const std::string prefix = layer_prefix(config.num_layers);
  layers.insert(layers.begin() + config.own<RunningMeanConfig>().mean_layer,
                std::make_unique<MeanLayer>(
                    make_rms_norm(parameters, prefix + "norm.weight", config.hidden_size, config.rms_norm_eps),
                    parameters.add(prefix + "mean.weight", {config.hidden_size, config.hidden_size}, {})));
  return layers;
}

inline ConfigKeys running_mean_keys(ModelConfig& config) {
  return with(stack_keys(config), {{"mean_layer", &config.own<RunningMeanConfig>().mean_layer}});
}

inline void check_running_mean(const ModelConfig& config, const std::string& source) {
  check_stack(config, source);
  check_range(config.own<RunningMeanConfig>().mean_layer, 0, config.num_layers, "mean_layer", source);
}

inline constexpr Kind running_mean_kind{.name = "running-mean",
                                        .make = make_stack<make_running_mean_layers>,
                                        .keys = running_mean_keys,
                                        .check = check_running_mean};

}  // namespace lookback
