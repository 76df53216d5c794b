// What a model's configuration says of its decoder layers.
#pragma once

#include "models/config.h"
#include "nn/layers.h"

namespace lookback {

inline LayerSizes decoder_layer_sizes(const ModelConfig& config) {
  return {config.hidden_size,  config.intermediate_size, config.num_heads,
          config.num_kv_heads, config.rms_norm_eps,      config.initializer_range};
}

}  // namespace lookback
