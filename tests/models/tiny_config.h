// The smallest models with every part, for tests that train them or count by hand.
#pragma once

#include <string>

#include "models/block_recurrent.h"
#include "models/config.h"
#include "models/drt/drt_config.h"
#include "models/memorizing.h"

namespace lookback {

// A DRT with every part (two upper groups, Gumbel noise) of a few thousand parameters.
inline ModelConfig tiny_drt() {
  ModelConfig config;
  config.kind = "drt";
  config.hidden_size = 16;
  config.intermediate_size = 24;
  config.num_heads = 2;
  config.num_kv_heads = 2;
  config.vocab_size = 33;
  config.landmark_id = 32;
  config.chunk_size = 8;
  config.top_k = 2;
  config.window_size = 12;
  auto& drt = config.own<DrtConfig>();
  drt.num_encoder_layers = 1;
  drt.decoder_layers = {1, 1, 1};
  drt.softmax_plus_one = true;
  return config;
}

inline ModelConfig tiny_sliding_window() {
  ModelConfig config = tiny_drt();
  config.kind = "sliding-window";
  config.vocab_size = 32;
  config.num_layers = 2;
  return config;
}

// Of any kind of the registry.
inline ModelConfig tiny_config(const std::string& kind) {
  ModelConfig config = tiny_sliding_window();
  config.kind = kind;
  config.vocab_size = config.has_landmarks() ? 33 : 32;
  if (kind == "compressed-memory") config.own<DrtConfig>().memory_vectors = 3;
  if (kind == "rpt") config.own<DrtConfig>().retriever = "bm25";
  if (kind == "rpt") config.own<DrtConfig>().retriever_size = 24;
  if (kind == "block-recurrent") config.own<BlockRecurrentConfig>() = {.memory_layer = 1, .state_size = 3};
  if (kind == "memorizing") {
    config.own<MemorizingConfig>() = {.memory_layer = 1, .memory_size = 10, .memory_top_k = 4};
  }
  return config;
}

}  // namespace lookback
