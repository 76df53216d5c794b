#include "generate/small_models.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "core/random.h"
#include "models/block_recurrent.h"
#include "models/drt/drt_config.h"
#include "models/memorizing.h"

namespace lookback {
namespace {

ModelConfig small_drt(std::vector<std::int64_t> decoder_layers, std::int64_t num_kv_heads, std::int64_t window_size,
                      bool softmax_plus_one, std::int64_t top_k) {
  ModelConfig config;
  config.kind = "drt";
  config.hidden_size = 32;
  config.intermediate_size = 48;
  config.num_heads = 4;
  config.num_kv_heads = num_kv_heads;
  config.vocab_size = 41;
  config.landmark_id = 40;
  config.chunk_size = 8;
  config.top_k = top_k;
  config.window_size = window_size;
  auto& drt = config.own<DrtConfig>();
  drt.num_encoder_layers = 1;
  drt.decoder_layers = std::move(decoder_layers);
  drt.softmax_plus_one = softmax_plus_one;
  config.initializer_range = 0;
  config.embedding_initializer_range = 0.5;
  return config;
}

}  // namespace

std::vector<SmallModelCase> small_model_cases() {
  ModelConfig sliding = small_drt({1, 1}, 2, 13, true, 1);
  sliding.kind = "sliding-window";
  sliding.num_layers = 3;
  const auto landmark = [](std::int64_t num_kv_heads, std::int64_t window_size, std::int64_t top_k) {
    ModelConfig config = small_drt({1, 1}, num_kv_heads, window_size, true, top_k);
    config.kind = "landmark";
    config.num_layers = 2;
    return config;
  };
  const auto remembering = [](const char* kind, std::int64_t num_kv_heads, std::int64_t window_size) {
    ModelConfig config = small_drt({1, 1}, num_kv_heads, window_size, true, 1);
    config.kind = kind;
    config.num_layers = 3;
    return config;
  };
  const auto recurrent = [&](std::int64_t num_kv_heads, std::int64_t window_size, std::int64_t memory_layer) {
    ModelConfig config = remembering("block-recurrent", num_kv_heads, window_size);
    config.own<BlockRecurrentConfig>() = {.memory_layer = memory_layer, .state_size = 5};
    return config;
  };
  const auto memorizing = [&](std::int64_t num_kv_heads, std::int64_t window_size, std::int64_t memory_width) {
    ModelConfig config = remembering("memorizing", num_kv_heads, window_size);
    config.own<MemorizingConfig>() = {
        .memory_layer = 1, .memory_size = 40, .memory_top_k = 3, .memory_width = memory_width};
    return config;
  };
  ModelConfig compressed = small_drt({1, 1, 2}, 2, 9, true, 2);
  compressed.kind = "compressed-memory";
  compressed.own<DrtConfig>().memory_vectors = 3;
  ModelConfig fixed_terms = small_drt({2, 2}, 2, 5, false, 2);
  fixed_terms.kind = "rpt";
  fixed_terms.own<DrtConfig>().retriever = "bm25";
  fixed_terms.own<DrtConfig>().retriever_size = 64;
  ModelConfig fixed_encoder = small_drt({1, 1, 1}, 4, 9, false, 3);
  fixed_encoder.kind = "rpt";
  fixed_encoder.own<DrtConfig>().retriever = "encoder";
  ModelConfig fixed_table = fixed_terms;
  fixed_table.own<DrtConfig>().retriever = "embeddings";  // all zeros here: every chunk scores the same
  ModelConfig random_retrieval = small_drt({1, 2, 1}, 2, 9, true, 2);
  random_retrieval.own<DrtConfig>().random_retrieval = true;
  ModelConfig other_weights = small_drt({2, 2}, 4, 5, false, 3);
  other_weights.own<DrtConfig>().uniform_chunk_weights = true;
  other_weights.own<DrtConfig>().residual_reset = true;
  std::vector<SmallModelCase> cases = {
      {"one_group", small_drt({2, 2}, 4, 5, true, 2)},
      {"two_groups_grouped_queries", small_drt({1, 1, 2}, 2, 20, false, 3)},
      {"three_groups_narrow_window", small_drt({1, 1, 1, 1}, 1, 3, true, 2)},
      {"more_chunks_asked_for_than_there_are", small_drt({1, 1, 1}, 4, 8, false, 30)},
      {"sliding_window", sliding},
      {"random_retrieval", random_retrieval},
      {"uniform_weights_and_residual_reset", other_weights},
      {"landmark_all_blocks", landmark(4, 0, 1000)},
      {"landmark_some_blocks", landmark(2, 10, 2)},
      {"landmark_one_block_no_window", landmark(1, 0, 1)},
      {"compressed_memory", compressed},
      {"fixed_retriever_of_terms", fixed_terms},
      {"fixed_retriever_by_an_encoder", fixed_encoder},
      {"fixed_retriever_without_preferences", fixed_table},
      {"block_recurrent", recurrent(2, 12, 1)},
      {"block_recurrent_blocks_of_one", recurrent(4, 1, 2)},
      {"memorizing", memorizing(2, 9, 0)},
      {"memorizing_no_window", memorizing(4, 0, 0)},
      {"memorizing_compressed_cache", memorizing(2, 9, 6)},
  };
  // All that keep windows in a way of their own, with rotary positions, by which places in the text matter.
  std::vector<SmallModelCase> other_positions;
  for (const char* name : {"two_groups_grouped_queries", "sliding_window", "block_recurrent", "memorizing",
                           "memorizing_no_window", "memorizing_compressed_cache"}) {
    other_positions.push_back(*std::ranges::find(cases, name, &SmallModelCase::name));
    other_positions.back().name += "_rotary";
    other_positions.back().config.window_positions = WindowPositions::rope;
  }
  cases.insert(cases.end(), other_positions.begin(), other_positions.end());
  // All kinds, with short convolutions before their first layers or before all.
  for (const char* name : {"two_groups_grouped_queries", "sliding_window", "landmark_some_blocks", "compressed_memory",
                           "fixed_retriever_of_terms", "block_recurrent", "memorizing"}) {
    SmallModelCase convolved = *std::ranges::find(cases, name, &SmallModelCase::name);
    convolved.name += "_convolved";
    convolved.config.conv_kernel = 4;
    convolved.config.conv_layers = convolved.config.kind == "drt" ? 1 : 0;
    cases.push_back(convolved);
  }
  cases.push_back({"into_the_residual_alone", small_drt({2, 2}, 4, 5, true, 3)});
  auto& own = cases.back().config.own<DrtConfig>();
  own.retrieved_into = "residual";
  own.encoder_conv_kernel = 2;
  own.key_conv_kernel = 3;
  cases.push_back({"with_successors_beyond_the_window", small_drt({1, 1, 2}, 2, 20, false, 3)});
  auto& reading = cases.back().config.own<DrtConfig>();
  reading.retrieve_successors = true;
  reading.mask_slide_window = true;
  cases.push_back({"with_term_scores", small_drt({1, 1, 1}, 2, 9, true, 3)});
  cases.back().config.own<DrtConfig>().term_scores = true;
  cases.push_back({"other_retrieval", small_drt({1, 1, 1}, 4, 9, true, 3)});
  auto& retrieving = cases.back().config.own<DrtConfig>();
  retrieving.retrieval_projections = true;
  retrieving.retrieval_temperature = 0.5;
  retrieving.stick_breaking = true;
  retrieving.recency_bias = true;
  retrieving.landmark_from = "mean";
  retrieving.query_from = "landmark";
  return cases;
}

std::unique_ptr<Model> make_small_model(const ModelConfig& config) {
  at::set_num_threads(1);  // a second one only waits at products this small
  auto model = make_model(config, at::kCPU, 17);
  model->parameters().freeze(at::kFloat);
  return model;
}

at::Tensor random_ids(const ModelConfig& config, std::int64_t num_sequences, std::int64_t length, std::uint64_t seed) {
  Random random(seed);
  at::Tensor ids = at::empty({num_sequences, length}, at::kLong);
  auto* values = ids.mutable_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < ids.numel(); ++i) {
    values[i] = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(config.vocab_size - 1)));
  }
  return ids;
}

at::Tensor whole_logits(Model& model, const at::Tensor& ids) {
  const at::NoGradGuard no_gradients;
  return model.logits(model.hidden_states(ids, {}));
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

}  // namespace lookback
