#include "models/kind.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "core/error.h"
#include "models/block_recurrent.h"
#include "models/config_checks.h"
#include "models/drt/drt_kind.h"
#include "models/landmark.h"
#include "models/memorizing.h"
#include "models/model.h"
#include "models/sliding_window.h"

namespace lookback {
namespace {

// The registry: one line a kind.
constexpr const Kind* kinds[] = {
    &block_recurrent_kind, &compressed_memory_kind, &drt_kind, &landmark_kind, &memorizing_kind, &rpt_kind,
    &sliding_window_kind,
};

const Kind* find_named(std::string_view name) {
  const auto* const found =
      std::ranges::find(kinds, name, [](const Kind* kind) { return std::string_view(kind->name); });
  return found == std::end(kinds) ? nullptr : *found;
}

std::string no_such_kind(std::string_view name) {
  return fmt::format("there is no model named \"{}\"; there are: {}", name, fmt::join(model_kinds(), ", "));
}

}  // namespace

std::span<const Kind* const> all_kinds() { return kinds; }

const Kind& kind_named(std::string_view name) {
  const Kind* const kind = find_named(name);
  if (kind == nullptr) fail("{}", no_such_kind(name));
  return *kind;
}

const Kind* find_kind(const Json& value, const std::string& source) {
  if (value.contains("lookback_model")) {
    const auto name = json_field<std::string>(value, "lookback_model", source);
    const Kind* const kind = find_named(name);
    if (kind == nullptr) fail("{}: {}", source, no_such_kind(name));
    return kind;
  }
  if (value.contains("decoder_layers")) return &drt_kind;
  if (value.contains("num_hidden_layers")) return &sliding_window_kind;
  return nullptr;
}

ConfigKeys with(ConfigKeys keys, const ConfigKeys& more) {
  keys.insert(keys.end(), more.begin(), more.end());
  return keys;
}

ConfigKeys stack_keys(ModelConfig& config) {
  ConfigKeys keys = {{"num_hidden_layers", &config.num_layers}};
  if (config.window_positions == WindowPositions::rope) {
    keys.push_back({"rope_theta", &config.rope_theta, ConfigKey::Need::optional});
  }
  return keys;
}

void check_stack(const ModelConfig& config, const std::string& source) {
  check_range(config.num_layers, 1, most_layers, "num_hidden_layers", source);
}

}  // namespace lookback
