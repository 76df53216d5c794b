// Models that benchmarks share.
#pragma once

#include "models/drt/drt_config.h"

namespace lookback {

// 7 million parameters: d = 256, 4 heads, MLP 704, [3, 3] layers, encoder 2, S = 63, K = 8, W = 512.
inline ModelConfig seven_million() {
  ModelConfig config;
  config.vocab_size = 512;
  config.landmark_id = 511;
  config.own<DrtConfig>().softmax_plus_one = true;
  return config;
}

}  // namespace lookback
