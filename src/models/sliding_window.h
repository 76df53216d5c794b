// The baseline without memory: Llama layers whose attention sees a window (docs/model.md, 9).
#pragma once

#include "models/layer_stack.h"

namespace lookback {

StackLayers make_sliding_window_layers(ParameterSet& parameters, const ModelConfig& config);

}  // namespace lookback
