// A small DRT that reads bytes.
#pragma once

#include "models/small_models.h"

namespace lookback {

inline ModelConfig byte_model_config() {
  ModelConfig config = small_drt_config();
  config.vocab_size = 300;
  config.landmark_id = 299;
  return config;
}

}  // namespace lookback
