// Small random models for tests.
#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "models/block_recurrent.h"
#include "models/drt/drt_config.h"
#include "models/kind.h"
#include "models/memorizing.h"
#include "models/model.h"

namespace lookback {

// Two upper groups (one of two layers), grouped-query attention; a window of about two chunks.
inline ModelConfig small_drt_config() {
  ModelConfig config;
  config.kind = "drt";
  config.hidden_size = 32;
  config.intermediate_size = 48;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.vocab_size = 40;
  config.landmark_id = 39;
  config.chunk_size = 8;
  config.top_k = 3;
  config.window_size = 17;
  auto& drt = config.own<DrtConfig>();
  drt.num_encoder_layers = 1;
  drt.decoder_layers = {2, 1, 2};
  drt.softmax_plus_one = true;
  config.initializer_range = 0;  // 1 / sqrt(fan_in): signals that reach the logits
  config.embedding_initializer_range = 0.5;
  return config;
}

inline ModelConfig small_sliding_window_config() {
  ModelConfig config = small_drt_config();
  config.kind = "sliding-window";
  config.kind_config.reset();
  config.num_layers = 3;
  return config;
}

// Of any kind of the registry: what it does not share with the others is small, too, so that a few chunks show all.
inline ModelConfig small_config(const std::string& kind) {
  ModelConfig config = small_drt_config();
  config.kind = kind;
  config.num_layers = 3;
  if (kind == "compressed-memory") config.own<DrtConfig>().memory_vectors = 3;
  if (kind == "rpt") config.own<DrtConfig>().retriever = "bm25";
  if (kind == "rpt") config.own<DrtConfig>().retriever_size = 32;
  if (kind == "landmark") {
    config.window_size = 5;  // one local block, so that there are many to choose from
    config.top_k = 2;
  }
  if (kind == "block-recurrent" || kind == "memorizing") config.window_size = 7;
  if (kind == "block-recurrent") config.own<BlockRecurrentConfig>() = {.memory_layer = 1, .state_size = 5};
  if (kind == "memorizing") {
    config.own<MemorizingConfig>() = {.memory_layer = 1, .memory_size = 20, .memory_top_k = 3};
  }
  return config;
}

inline std::vector<ModelConfig> small_configs_of_all_kinds() {
  std::vector<ModelConfig> configs;
  for (const std::string& kind : model_kinds()) configs.push_back(small_config(kind));
  return configs;
}

// Those whose layers have windows, with each of the positions that are not ALiBi's.
inline std::vector<ModelConfig> small_configs_of_all_positions() {
  std::vector<ModelConfig> configs = small_configs_of_all_kinds();
  std::erase_if(configs, [](const ModelConfig& config) { return !kind_named(config.kind).has_windows; });
  configs.push_back(small_config("memorizing"));
  configs.back().own<MemorizingConfig>().memory_width = 6;
  const std::vector<ModelConfig> with_alibi = configs;
  for (ModelConfig& config : configs) config.window_positions = WindowPositions::rope;
  for (ModelConfig config : with_alibi) {
    config.window_positions = WindowPositions::none;
    configs.push_back(config);
  }
  return configs;
}

// All kinds with short convolutions: before each layer, before the first alone; and DRT's others.
inline std::vector<ModelConfig> small_configs_with_convolutions() {
  std::vector<ModelConfig> configs = small_configs_of_all_kinds();
  for (ModelConfig& config : configs) config.conv_kernel = 3;
  for (const char* kind : {"drt", "sliding-window"}) {
    configs.push_back(small_config(kind));
    configs.back().conv_kernel = 4;
    configs.back().conv_layers = 1;
    configs.back().window_positions = WindowPositions::rope;
  }
  configs.push_back(small_drt_config());
  configs.back().own<DrtConfig>().encoder_conv_kernel = 3;
  configs.back().own<DrtConfig>().key_conv_kernel = 2;
  return configs;
}

// DRT with what it has besides the paper's, several parts at a time.
inline std::vector<ModelConfig> small_drt_variants() {
  std::vector<ModelConfig> configs(4, small_drt_config());
  auto& reading = configs[0].own<DrtConfig>();
  reading.retrieve_successors = true;
  reading.mask_slide_window = true;
  reading.retrieved_into = "both";
  auto& retrieving = configs[1].own<DrtConfig>();
  retrieving.retrieval_projections = true;
  retrieving.retrieval_temperature = 0.5;
  retrieving.stick_breaking = true;
  retrieving.landmark_from = "mean";
  retrieving.query_from = "landmark";
  auto& encoding = configs[2].own<DrtConfig>();
  encoding.landmark_from = "vector";
  encoding.aligned_init = true;
  encoding.retrieved_into = "residual";
  configs.push_back(small_drt_config());
  configs.back().own<DrtConfig>().term_scores = true;
  configs.back().own<DrtConfig>().recency_bias = true;
  configs[3].kind = "compressed-memory";
  configs[3].own<DrtConfig>().memory_vectors = 3;
  configs[3].own<DrtConfig>().retrieve_successors = true;
  return configs;
}

// What GoogleTest shows of a test's parameter, in place of its bytes.
inline void PrintTo(const ModelConfig& config, std::ostream* stream) { *stream << config.kind; }

// A test's name.
inline std::string kind_name(const testing::TestParamInfo<ModelConfig>& info) {
  std::string name = info.param.kind;
  std::ranges::replace(name, '-', '_');
  return name;
}

inline at::Tensor random_ids(std::int64_t batch, std::int64_t length, std::int64_t bound, std::uint64_t seed) {
  return at::randint(0, bound, {batch, length}, at::detail::createCPUGenerator(seed), at::kLong);
}

}  // namespace lookback
