#include "models/sliding_window.h"

#include "models/kind.h"
#include "models/window_layer.h"

namespace lookback {
namespace {

StackLayers make_sliding_window_layers(ParameterSet& parameters, const ModelConfig& config) {
  StackLayers layers;
  for (std::int64_t i = 0; i < config.num_layers; ++i) layers.push_back(make_window_layer(parameters, config, i));
  return layers;
}

}  // namespace

constinit const Kind sliding_window_kind{.name = "sliding-window", .make = make_stack<make_sliding_window_layers>};

}  // namespace lookback
