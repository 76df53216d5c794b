// A model's config.json, translated once at the door into our names.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/json.h"

namespace lookback {

// How attention within a window tells positions apart (docs/model.md, 3): by ALiBi's bias, by rotating queries and
// keys, or by the causal mask alone.
enum class WindowPositions { alibi, rope, none };

// Keys in brackets are those of config.json (Hugging Face's and the published checkpoints').
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
  std::int64_t num_encoder_layers = 2;                        // [encoder_layers]
  std::vector<std::int64_t> decoder_layers = {3, 3};          // lower, then each upper group [decoder_layers]
  std::int64_t memory_vectors = 8;                            // compressed-memory: m, of a chunk [memory_vectors]
  std::string retriever = "bm25";                             // rpt: "bm25", "encoder", "embeddings" [retriever]
  std::int64_t retriever_size = 1024;  // rpt: numbers that terms are hashed to, or of an embedding [retriever_size]
  std::int64_t num_layers = 0;         // of all kinds but those of DRT [num_hidden_layers]
  double rms_norm_eps = 1e-5;          // [rms_norm_eps]
  double rope_theta = 10000.0;         // of the chunk encoder's rotary positions, and of windows' [rope_theta]
  double initializer_range = 0.02;     // [initializer_range]; 0: 1/sqrt(fan_in) for linear weights
  double embedding_initializer_range = 0.02;  // [embedding_initializer_range]
  bool softmax_plus_one = true;               // [enable_softmax_one]
  bool gumbel_noise = true;                   // in training, for the selection [gumbel_noise]
  // Of models of which one layer remembers.
  std::int64_t memory_layer = 0;    // from 0 on [memory_layer]
  std::int64_t state_size = 64;     // block-recurrent: state vectors [state_size]
  std::int64_t memory_size = 8192;  // memorizing: positions [memory_size]
  std::int64_t memory_top_k = 32;   // memorizing [memory_topk]
  std::int64_t memory_width = 0;    // memorizing: of a position's compressed state; 0: keys and values [memory_width]
  // Ablations of drt, each under its own name, which is absent where false.
  bool random_retrieval = false;       // any earlier chunks instead of the best
  bool uniform_chunk_weights = false;  // retrieved chunks weigh the same, so that nothing trains the retriever
  bool residual_reset = false;         // the residual of docs/model.md, 7, is y

  std::int64_t head_dim() const { return hidden_size / num_heads; }
  // DRT, or a model that differs from it in one part.
  bool is_drt() const { return kind == "drt" || kind == "rpt" || kind == "compressed-memory"; }
  // The model puts landmark_id behind each chunk of a text by itself; no text has it.
  bool has_landmarks() const;
  // Of those of DRT: keys and values that a chunk is remembered by, and numbers that it is found by.
  std::int64_t chunk_vectors() const { return kind == "compressed-memory" ? memory_vectors : chunk_size; }
  std::int64_t landmark_size() const { return kind == "rpt" && retriever != "encoder" ? retriever_size : hidden_size; }
  std::int64_t num_upper_groups() const { return static_cast<std::int64_t>(decoder_layers.size()) - 1; }
};

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
