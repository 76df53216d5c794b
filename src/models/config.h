// A model's config.json, translated once at the door into our names.
#pragma once

#include <algorithm>
#include <any>
#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/json.h"

namespace lookback {

// How attention within a window tells positions apart (docs/model.md, 3): by ALiBi's bias, by rotating queries and
// keys, or by the causal mask alone.
enum class WindowPositions { alibi, rope, none };

// What kinds share, and the kind's own. Keys in brackets are those of config.json (Hugging Face's and the published
// checkpoints').
struct ModelConfig {
  std::string kind = "drt";              // [lookback_model]; a name of the registry (kind.cpp)
  std::int64_t hidden_size = 256;        // d [hidden_size]
  std::int64_t intermediate_size = 704;  // [intermediate_size]
  std::int64_t num_heads = 4;            // H [num_attention_heads]
  std::int64_t num_kv_heads = 4;         // [num_key_value_heads]; of the decoder layers, the encoder has H
  std::int64_t vocab_size = 257;         // embedding rows, landmark included [vocab_size]
  std::int64_t landmark_id = 256;        // of the kinds that have landmarks [chunk_id]
  std::int64_t chunk_size = 63;          // S [enc_chunk_size]
  std::int64_t top_k = 8;                // K [chunk_topk]
  std::int64_t window_size = 512;        // W: a position sees W + 1 positions, itself included [slide_window]
  WindowPositions window_positions = WindowPositions::alibi;  // [window_positions]
  // Of the short convolution before layers (docs/model.md, 16).
  std::int64_t conv_kernel = 0;  // positions, itself included; 0: there is none [conv_kernel]
  std::int64_t conv_layers =
      0;  // before so many of the first layers; 0: before all, of DRT all lower ones [conv_layers]
  std::int64_t num_layers = 0;                // of stacks of layers, which are all but those of DRT [num_hidden_layers]
  double rms_norm_eps = 1e-5;                 // [rms_norm_eps]
  double rope_theta = 10000.0;                // of the chunk encoder's rotary positions, and of windows' [rope_theta]
  double initializer_range = 0.02;            // [initializer_range]; 0: 1/sqrt(fan_in) for linear weights
  double embedding_initializer_range = 0.02;  // [embedding_initializer_range]
  std::any kind_config;                       // what only the kind has, by own()

  // The kind's own struct, which its header declares (DrtConfig in drt/drt_config.h); its defaults where none was set.
  // The second makes it, in place of that of another kind.
  template <typename Own>
  const Own& own() const;
  template <typename Own>
  Own& own();

  // How many of num_layers layers have a short convolution before them.
  std::int64_t num_convolutions(std::int64_t num_layers) const {
    return conv_kernel == 0 ? 0 : conv_layers == 0 ? num_layers : std::min(conv_layers, num_layers);
  }
  std::int64_t head_dim() const { return hidden_size / num_heads; }
  // The model puts landmark_id behind each chunk of a text by itself; no text has it.
  bool has_landmarks() const;
  // Of kinds whose texts can be stored as memories: keys and values that a chunk is remembered by.
  std::int64_t chunk_vectors() const;
};

template <typename Own>
const Own& ModelConfig::own() const {
  static const Own defaults;
  if (!kind_config.has_value()) return defaults;
  const Own* const found = std::any_cast<Own>(&kind_config);
  if (found == nullptr) fail("the configuration of this {} model is that of another kind", kind);
  return *found;
}

template <typename Own>
Own& ModelConfig::own() {
  if (std::any_cast<Own>(&kind_config) == nullptr) kind_config = Own();
  return *std::any_cast<Own>(&kind_config);
}

// Reads config.json's object. `source` names it in errors. Throws Error for missing keys, values out of range,
// and what this library does not implement (other activations, biases, untied embeddings), by name.
ModelConfig parse_model_config(const Json& value, const std::string& source);

// [window_positions] of such an object. Throws Error naming `source` for a name that there is not, and where
// enable_alibi, which published configurations have, says otherwise.
WindowPositions parse_window_positions(const Json& value, const std::string& source);

// The keys that config.json of such a model may have.
std::vector<std::string> model_config_keys(const ModelConfig& config);

// The object for config.json; parse_model_config gives the same config back.
Json to_json(const ModelConfig& config);

// Throws Error naming the first key that is out of range.
void check_model_config(const ModelConfig& config, const std::string& source);

}  // namespace lookback
