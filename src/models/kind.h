// A kind of model: all that is its own, in one bundle. Each is defined in a file of its kind's and listed in kind.cpp;
// the rest of the program asks the bundle and never compares names. docs/adding-a-model.md adds one.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/json.h"
#include "models/config.h"
#include "models/stack_cost.h"

namespace lookback {

class Model;

// A key of config.json that not all kinds have, and the member of a ModelConfig that it sets.
struct ConfigKey {
  enum class Need {
    required,
    optional,           // the member keeps its default where the key is absent
    only_where_changed  // and the key is not written where the member has its default
  };

  const char* name;
  std::variant<std::int64_t*, double*, bool*, std::string*, std::vector<std::int64_t>*> member;
  Need need = Need::required;
};

using ConfigKeys = std::vector<ConfigKey>;
ConfigKeys with(ConfigKeys keys, const ConfigKeys& more);

// The keys of a stack of layers that has none of its own (num_hidden_layers; rope_theta where windows have rotary
// positions), and the check of the first.
ConfigKeys stack_keys(ModelConfig& config);
void check_stack(const ModelConfig& config, const std::string& source);

// What a kind's layers cost, counted from a configuration (cost.h has what all kinds have besides). What is left out is
// that of num_layers layers with sliding windows.
struct KindCost {
  // Numbers of parameters, but for those that are given, not trained: they are counted apart.
  double (*parameters)(const ModelConfig& config) = stack_parameters;
  double (*given_parameters)(const ModelConfig& config) = no_elements;
  // Floating-point operations of the forward pass over one sequence of `length` text tokens.
  double (*flops)(const ModelConfig& config, std::int64_t length) = stack_flops;
  // Numbers kept for the backward pass at each position.
  double (*activations)(const ModelConfig& config, bool gradient_checkpointing) = stack_activations;
  // Numbers of state at inference that a text token adds, and that stay the same.
  double (*memory_elements)(const ModelConfig& config) = no_elements;
  std::int64_t (*window_elements)(const ModelConfig& config) = stack_window_elements;
};

// What is left out is that of a stack of layers with sliding windows (sliding_window.cpp).
struct Kind {
  const char* name;  // [lookback_model]

  // A freshly initialised model. The names of its weights are those under which it adds its parameters.
  std::unique_ptr<Model> (*make)(const ModelConfig& config, at::Device device, std::uint64_t seed);

  // The model puts landmark_id behind each chunk of a text by itself: config.json then has chunk_id, enc_chunk_size and
  // chunk_topk, which all such kinds share.
  bool has_landmarks = false;

  // Its layers attend within windows of slide_window, so that window_positions says how these tell positions apart.
  bool has_windows = true;

  // The keys that config.json has besides those that kinds share, in the order in which they are written; they point
  // into `config`, those that are the kind's own into its own struct (ModelConfig::own).
  ConfigKeys (*keys)(ModelConfig& config) = stack_keys;

  // Throws Error naming `source` and the first of these keys that is out of range. What kinds share is in range
  // already.
  void (*check)(const ModelConfig& config, const std::string& source) = check_stack;

  KindCost cost{};

  // Of kinds that retrieve: makes their models be fed other chunks than their own choice, for evaluation. Throws Error
  // for a name that there is not.
  void (*feed)(ModelConfig& config, const std::string& retrieval) = nullptr;

  // Of kinds whose texts can be stored as memories: the keys and values that a chunk is remembered by, where they are
  // not chunk_size.
  std::int64_t (*chunk_vectors)(const ModelConfig& config) = nullptr;
};

// All kinds, by name.
std::span<const Kind* const> all_kinds();

// Throws Error listing the known kinds.
const Kind& kind_named(std::string_view name);

// The kind that config.json, or [model] of a run, is about: the one that it names (lookback_model), or else, since
// published configurations do not, the one that its keys tell; nullptr where they do not tell either. Throws Error
// naming `source` for a name that there is not.
const Kind* find_kind(const Json& value, const std::string& source);

}  // namespace lookback
