#include "models/config.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/error.h"
#include "models/config_checks.h"
#include "models/kind.h"

namespace lookback {
namespace {

// What this library does not implement must be absent or have the one value that it does implement.
template <typename T>
void require_value(const Json& value, const char* key, const T& wanted, const std::string& source) {
  const T found = json_field_or<T>(value, key, wanted, source);
  require(found == wanted, "{}: {} = {} is not supported; only {} is", source, key, Json(found).dump(),
          Json(wanted).dump());
}

const char* name_of(WindowPositions positions) {
  switch (positions) {
    case WindowPositions::alibi:
      return "alibi";
    case WindowPositions::rope:
      return "rope";
    case WindowPositions::none:
      return "none";
  }
  fail("there are no such positions");
}

// All keys that not all kinds have, in the order in which they are written.
ConfigKeys keys_of_some_kinds(ModelConfig& config) {
  const Kind& kind = kind_named(config.kind);
  ConfigKeys keys;
  if (kind.has_landmarks) {
    keys = {{"chunk_id", &config.landmark_id}, {"enc_chunk_size", &config.chunk_size}, {"chunk_topk", &config.top_k}};
  }
  keys = with(std::move(keys), kind.keys(config));
  // Last, and only where there are convolutions: the fingerprints of models without stay as they are.
  return with(std::move(keys), {{"conv_kernel", &config.conv_kernel, ConfigKey::Need::only_where_changed},
                                {"conv_layers", &config.conv_layers, ConfigKey::Need::only_where_changed}});
}

void read_key(const ConfigKey& key, const Json& value, const std::string& source) {
  const auto read = [&]<typename T>(T* member) {
    *member = key.need == ConfigKey::Need::required ? json_field<T>(value, key.name, source)
                                                    : json_field_or(value, key.name, *member, source);
  };
  std::visit(read, key.member);
}

// with_default: the same key of a configuration that nothing was set in.
void write_key(const ConfigKey& key, const ConfigKey& with_default, Json& value) {
  const auto has_default = [&]<typename T>(const T* member) { return *member == *std::get<T*>(with_default.member); };
  if (key.need == ConfigKey::Need::only_where_changed && std::visit(has_default, key.member)) return;
  std::visit([&](const auto* member) { value[key.name] = *member; }, key.member);
}

void check_windows(const ModelConfig& config, const Kind& kind, const std::string& source) {
  const WindowPositions positions = config.window_positions;
  require(kind.has_windows || positions == WindowPositions::alibi,
          "{}: window_positions = \"{}\" is for windows, and no layer of a {} model has one; leave it out", source,
          name_of(positions), kind.name);
  if (positions == WindowPositions::rope) check_rotary(config.head_dim(), config.rope_theta, source);
}

void check_landmarks(const ModelConfig& config, const std::string& source) {
  check_range(config.top_k, 1, most_retrieved, "chunk_topk", source);
  check_positive(config.chunk_size, "enc_chunk_size", source);
  require(config.landmark_id >= 0 && config.landmark_id < config.vocab_size,
          "{}: chunk_id {} is not in the vocabulary of {}", source, config.landmark_id, config.vocab_size);
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
  const Kind& kind = kind_named(config.kind);
  check_windows(config, kind, source);
  if (kind.has_landmarks) check_landmarks(config, source);
  check_conv_kernel(config.conv_kernel, "conv_kernel", source);
  check_range(config.conv_layers, 0, most_layers, "conv_layers", source);
  kind.check(config, source);
}

WindowPositions parse_window_positions(const Json& value, const std::string& source) {
  const auto name = json_field_or<std::string>(value, "window_positions", "alibi", source);
  std::optional<WindowPositions> positions;
  for (const auto one : {WindowPositions::alibi, WindowPositions::rope, WindowPositions::none}) {
    if (name == name_of(one)) positions = one;
  }
  require(positions.has_value(), "{}: window_positions \"{}\": there are alibi, rope and none", source, name);
  const bool alibi = positions == WindowPositions::alibi;
  const bool enabled = json_field_or(value, "enable_alibi", alibi, source);
  require(!enabled || alibi, "{}: enable_alibi = true contradicts window_positions = \"{}\"; leave one of the two out",
          source, name);
  require(enabled || !alibi,
          "{}: enable_alibi = false: name what there is in ALiBi's place, window_positions = \"rope\" or \"none\"",
          source);
  return *positions;
}

ModelConfig parse_model_config(const Json& value, const std::string& source) {
  require(value.is_object(), "{}: expected a JSON object", source);
  ModelConfig config;
  const Kind* const kind = find_kind(value, source);
  require(kind != nullptr,
          "{}: cannot tell which model this is: expected \"decoder_layers\" (drt) or \"num_hidden_layers\" "
          "(sliding-window)",
          source);
  config.kind = kind->name;
  const auto integer = [&](const char* key) { return json_field<std::int64_t>(value, key, source); };
  config.hidden_size = integer("hidden_size");
  config.intermediate_size = integer("intermediate_size");
  config.num_heads = integer("num_attention_heads");
  config.num_kv_heads = json_field_or(value, "num_key_value_heads", config.num_heads, source);
  config.vocab_size = integer("vocab_size");
  config.window_size = integer("slide_window");
  config.window_positions = parse_window_positions(value, source);
  config.rms_norm_eps = json_field_or(value, "rms_norm_eps", config.rms_norm_eps, source);
  config.initializer_range = json_field_or(value, "initializer_range", config.initializer_range, source);
  config.embedding_initializer_range = json_field_or(
      value, "embedding_initializer_range", config.initializer_range > 0 ? config.initializer_range : 0.02, source);
  for (const ConfigKey& key : keys_of_some_kinds(config)) read_key(key, value, source);
  require_value<std::string>(value, "hidden_act", "silu", source);
  require_value(value, "attention_bias", false, source);
  require_value(value, "mlp_bias", false, source);
  require_value(value, "tie_word_embeddings", true, source);
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
                {"enable_alibi", config.window_positions == WindowPositions::alibi}};
  // Only where it is no other than what configurations without it have: the fingerprints of models stay as they are.
  if (config.window_positions != WindowPositions::alibi) value["window_positions"] = name_of(config.window_positions);
  ModelConfig copy = config;  // keys point to members that can be set
  ModelConfig defaults;
  defaults.kind = config.kind;
  defaults.window_positions = config.window_positions;  // on which it depends what keys there are
  const ConfigKeys keys = keys_of_some_kinds(copy);
  const ConfigKeys default_keys = keys_of_some_kinds(defaults);
  for (std::size_t i = 0; i < keys.size(); ++i) write_key(keys[i], default_keys[i], value);
  return value;
}

std::vector<std::string> model_config_keys(const ModelConfig& config) {
  std::vector<std::string> keys = {"mlp_bias"};
  if (kind_named(config.kind).has_windows) keys.emplace_back("window_positions");
  const Json named = to_json(config);
  for (const auto& [key, value] : named.items()) {
    if (key != "window_positions") keys.push_back(key);
  }
  ModelConfig copy = config;
  for (const ConfigKey& key : keys_of_some_kinds(copy)) {
    if (!named.contains(key.name)) keys.emplace_back(key.name);  // a switch that is off
  }
  return keys;
}

bool ModelConfig::has_landmarks() const { return kind_named(kind).has_landmarks; }

std::int64_t ModelConfig::chunk_vectors() const {
  const auto count = kind_named(kind).chunk_vectors;
  return count == nullptr ? chunk_size : count(*this);
}

}  // namespace lookback
