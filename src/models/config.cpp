#include "models/config.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <string>

#include "core/error.h"

namespace lookback {
namespace {

// What this library does not implement must be absent or have the one value that it does implement.
template <typename T>
void require_value(const Json& value, const char* key, const T& wanted, const std::string& source) {
  const T found = json_field_or<T>(value, key, wanted, source);
  require(found == wanted, "{}: {} = {} is not supported; only {} is", source, key, Json(found).dump(),
          Json(wanted).dump());
}

std::string kind_of(const Json& value, const std::string& source) {
  if (value.contains("lookback_model")) return json_field<std::string>(value, "lookback_model", source);
  // Published configurations do not say; their keys do.
  if (value.contains("decoder_layers")) return "drt";
  if (value.contains("num_hidden_layers")) return "sliding-window";
  fail(
      "{}: cannot tell which model this is: expected \"decoder_layers\" (drt) or \"num_hidden_layers\" "
      "(sliding-window)",
      source);
}

// Far above all models that there are, and far below where products of two sizes overflow.
constexpr std::int64_t largest_size = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t most_layers = 4096;
constexpr std::int64_t most_retrieved = 65'536;

void check_range(std::int64_t number, std::int64_t smallest, std::int64_t largest, const char* key,
                 const std::string& source) {
  require(number >= smallest, "{}: {} must be at least {}, found {}", source, key, smallest, number);
  require(number <= largest, "{}: {} must be at most {}, found {}", source, key, largest, number);
}

void check_positive(std::int64_t number, const char* key, const std::string& source) {
  check_range(number, 1, largest_size, key, source);
}

enum class Key { required, optional };

// Calls visit(key, member, whether config.json must have it) for every key that not all kinds have.
template <typename Config, typename Visitor>
void visit_own_keys(Config& config, const Visitor& visit) {
  if (config.has_landmarks()) {
    visit("chunk_id", config.landmark_id, Key::required);
    visit("enc_chunk_size", config.chunk_size, Key::required);
    visit("chunk_topk", config.top_k, Key::required);
  }
  if (config.is_drt()) {
    visit("encoder_layers", config.num_encoder_layers, Key::required);
    visit("decoder_layers", config.decoder_layers, Key::required);
    visit("rope_theta", config.rope_theta, Key::optional);
  } else {
    visit("num_hidden_layers", config.num_layers, Key::required);
  }
  if (config.kind == "drt" || config.kind == "compressed-memory") {
    visit("enable_softmax_one", config.softmax_plus_one, Key::optional);
    visit("gumbel_noise", config.gumbel_noise, Key::optional);
  }
  if (config.kind == "compressed-memory") visit("memory_vectors", config.memory_vectors, Key::required);
  if (config.kind == "rpt") {
    visit("retriever", config.retriever, Key::required);
    visit("retriever_size", config.retriever_size, Key::optional);
  }
  if (config.kind == "block-recurrent") {
    visit("memory_layer", config.memory_layer, Key::required);
    visit("state_size", config.state_size, Key::required);
  }
  if (config.kind == "memorizing") {
    visit("memory_layer", config.memory_layer, Key::required);
    visit("memory_size", config.memory_size, Key::required);
    visit("memory_topk", config.memory_top_k, Key::required);
    visit("memory_width", config.memory_width, Key::optional);
  }
}

// The same for switches that are off where they are absent: visit(key, member).
template <typename Config, typename Visitor>
void visit_ablations(Config& config, const Visitor& visit) {
  if (config.kind != "drt") return;
  visit("random_retrieval", config.random_retrieval);
  visit("uniform_chunk_weights", config.uniform_chunk_weights);
  visit("residual_reset", config.residual_reset);
}

void check_landmarks(const ModelConfig& config, const std::string& source) {
  check_range(config.top_k, 1, most_retrieved, "chunk_topk", source);
  check_positive(config.chunk_size, "enc_chunk_size", source);
  require(config.landmark_id >= 0 && config.landmark_id < config.vocab_size,
          "{}: chunk_id {} is not in the vocabulary of {}", source, config.landmark_id, config.vocab_size);
}

void check_drt(const ModelConfig& config, const std::string& source) {
  require(config.decoder_layers.size() >= 2,
          "{}: decoder_layers needs the lower layers and at least one upper group, found {} numbers", source,
          config.decoder_layers.size());
  std::int64_t num_layers = 0;
  for (const std::int64_t layers : config.decoder_layers) {
    check_range(layers, 1, most_layers, "each of decoder_layers", source);
    num_layers += layers;
  }
  require(num_layers <= most_layers, "{}: decoder_layers must be at most {} in all, found {}", source, most_layers,
          num_layers);
  check_range(config.num_encoder_layers, 1, most_layers, "encoder_layers", source);
  require(config.chunk_size >= 8, "{}: enc_chunk_size must be at least 8, found {}", source, config.chunk_size);
  require(std::isfinite(config.rope_theta) && config.rope_theta > 0, "{}: rope_theta must be positive, found {}",
          source, config.rope_theta);
  require(config.head_dim() % 2 == 0, "{}: the head dimension {} must be even for rotary positions", source,
          config.head_dim());
  if (config.kind == "compressed-memory") check_positive(config.memory_vectors, "memory_vectors", source);
  if (config.kind == "rpt") {
    require(config.retriever == "bm25" || config.retriever == "encoder" || config.retriever == "embeddings",
            "{}: retriever \"{}\": there are bm25, encoder and embeddings", source, config.retriever);
    check_positive(config.retriever_size, "retriever_size", source);
  }
}

void check_memory_layer(const ModelConfig& config, const std::string& source) {
  require(config.memory_layer >= 0 && config.memory_layer < config.num_layers,
          "{}: memory_layer {} is none of the {} layers (they count from 0)", source, config.memory_layer,
          config.num_layers);
  if (config.kind == "block-recurrent") {
    check_positive(config.window_size, "slide_window (the length of a block)", source);
    check_positive(config.state_size, "state_size", source);
  } else {
    check_positive(config.memory_size, "memory_size", source);
    check_range(config.memory_top_k, 1, most_retrieved, "memory_topk", source);
    check_range(config.memory_width, 0, largest_size, "memory_width", source);
  }
}

}  // namespace

void check_model_config(const ModelConfig& config, const std::string& source) {
  check_positive(config.hidden_size, "hidden_size", source);
  check_positive(config.intermediate_size, "intermediate_size", source);
  check_positive(config.num_heads, "num_attention_heads", source);
  check_positive(config.num_kv_heads, "num_key_value_heads", source);
  check_positive(config.vocab_size, "vocab_size", source);
  check_range(config.window_size, 0, largest_size, "slide_window", source);
  require(config.hidden_size % config.num_heads == 0, "{}: num_attention_heads {} must divide hidden_size {}", source,
          config.num_heads, config.hidden_size);
  require(config.num_heads % config.num_kv_heads == 0, "{}: num_key_value_heads {} must divide num_attention_heads {}",
          source, config.num_kv_heads, config.num_heads);
  require(config.rms_norm_eps > 0, "{}: rms_norm_eps must be positive, found {}", source, config.rms_norm_eps);
  require(config.initializer_range >= 0 && config.embedding_initializer_range >= 0,
          "{}: initializer ranges must not be negative", source);
  if (config.has_landmarks()) check_landmarks(config, source);
  if (config.is_drt()) {
    check_drt(config, source);
  } else {
    check_range(config.num_layers, 1, most_layers, "num_hidden_layers", source);
  }
  if (config.kind == "block-recurrent" || config.kind == "memorizing") check_memory_layer(config, source);
}

ModelConfig parse_model_config(const Json& value, const std::string& source) {
  require(value.is_object(), "{}: expected a JSON object", source);
  ModelConfig config;
  config.kind = kind_of(value, source);
  const auto integer = [&](const char* key) { return json_field<std::int64_t>(value, key, source); };
  config.hidden_size = integer("hidden_size");
  config.intermediate_size = integer("intermediate_size");
  config.num_heads = integer("num_attention_heads");
  config.num_kv_heads = json_field_or(value, "num_key_value_heads", config.num_heads, source);
  config.vocab_size = integer("vocab_size");
  config.window_size = integer("slide_window");
  config.rms_norm_eps = json_field_or(value, "rms_norm_eps", config.rms_norm_eps, source);
  config.initializer_range = json_field_or(value, "initializer_range", config.initializer_range, source);
  config.embedding_initializer_range = json_field_or(
      value, "embedding_initializer_range", config.initializer_range > 0 ? config.initializer_range : 0.02, source);
  config.softmax_plus_one = false;  // published configurations that do not name it were trained without
  visit_own_keys(config, [&]<typename T>(const char* key, T& member, Key need) {
    member = need == Key::required ? json_field<T>(value, key, source) : json_field_or(value, key, member, source);
  });
  visit_ablations(config, [&](const char* key, bool& member) { member = json_field_or(value, key, member, source); });
  require_value<std::string>(value, "hidden_act", "silu", source);
  require_value(value, "attention_bias", false, source);
  require_value(value, "mlp_bias", false, source);
  require_value(value, "tie_word_embeddings", true, source);
  require_value(value, "enable_alibi", true, source);
  check_model_config(config, source);
  return config;
}

Json to_json(const ModelConfig& config) {
  Json value = {{"lookback_model", config.kind},
                {"model_type", "llama"},
                {"hidden_size", config.hidden_size},
                {"intermediate_size", config.intermediate_size},
                {"num_attention_heads", config.num_heads},
                {"num_key_value_heads", config.num_kv_heads},
                {"vocab_size", config.vocab_size},
                {"slide_window", config.window_size},
                {"rms_norm_eps", config.rms_norm_eps},
                {"initializer_range", config.initializer_range},
                {"embedding_initializer_range", config.embedding_initializer_range},
                {"hidden_act", "silu"},
                {"attention_bias", false},
                {"tie_word_embeddings", true},
                {"enable_alibi", true}};
  visit_own_keys(config, [&value](const char* key, const auto& member, Key) { value[key] = member; });
  // Only those that are on: the fingerprints of models that know none of them stay as they are.
  visit_ablations(config, [&value](const char* key, bool member) {
    if (member) value[key] = true;
  });
  return value;
}

std::vector<std::string> model_config_keys(const ModelConfig& config) {
  std::vector<std::string> keys = {"mlp_bias"};
  const Json named = to_json(config);
  for (const auto& [key, value] : named.items()) keys.push_back(key);
  visit_ablations(config, [&keys](const char* key, bool) { keys.emplace_back(key); });
  return keys;
}

bool ModelConfig::has_landmarks() const { return is_drt() || kind == "landmark"; }

}  // namespace lookback
