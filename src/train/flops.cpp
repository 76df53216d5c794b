#include "train/flops.h"

#include <algorithm>
#include <cmath>

#include "models/parameter_count.h"

namespace lookback {
namespace {

// Keys that all positions of a sequence see together in a window of W before them and themselves.
double window_pairs(double positions, double window) {
  const double reach = std::min(positions, window + 1);
  return reach * (reach + 1) / 2 + (positions - reach) * (window + 1);
}

// Positions of `tokens` tokens, whole chunks with their landmarks where there are any.
double count_positions(const ModelConfig& config, double tokens) {
  if (!config.has_landmarks()) return tokens;
  const auto chunk_size = static_cast<double>(config.chunk_size);
  return std::ceil(tokens / chunk_size) * (chunk_size + 1);
}

// What the layer that remembers adds to the forward pass over `tokens` tokens.
double memory_layer_flops(const ModelConfig& config, double tokens) {
  const auto d = static_cast<double>(config.hidden_size);
  const auto window = static_cast<double>(config.window_size);
  if (config.kind == "block-recurrent") {
    const auto states = static_cast<double>(config.state_size);
    const double carried = std::ceil(tokens / window) - 1;
    const double keys_and_values = (carried + 1) * states * 4 * d * key_value_size(config);
    // Tokens: query, output, all states. States: two queries and outputs, all states and a block of tokens.
    return tokens * (4 * d * d + 4 * d * states) + keys_and_values +
           carried * states * (8 * d * d + 4 * d * (states + window));
  }
  if (config.kind != "memorizing") return 0;
  const auto memory = static_cast<double>(config.memory_size);
  const double candidates = window_pairs(tokens, window + memory) - window_pairs(tokens, window);
  double read = 0;  // positions that all queries read together
  const auto num_reading = static_cast<std::int64_t>(tokens) - config.window_size - 1;
  for (std::int64_t before = 1; before <= num_reading; ++before) {
    read += static_cast<double>(std::min({before, config.memory_size, config.memory_top_k}));
  }
  if (config.memory_width == 0) return 2 * d * candidates + 2 * d * read;
  const auto width = static_cast<double>(config.memory_width);
  const auto heads = static_cast<double>(config.num_heads);
  return tokens * (4 * d * d + 2 * d * width) + 2 * width * candidates + tokens * 4 * d * width +
         4 * heads * width * read;
}

}  // namespace

double forward_flops(const ModelConfig& config, std::int64_t length) {
  const auto d = static_cast<double>(config.hidden_size);
  const auto window = static_cast<double>(config.window_size);
  const auto layers = static_cast<double>(num_decoder_layers(config));
  const auto tokens = static_cast<double>(length);
  const double logits = 2 * tokens * d * static_cast<double>(config.vocab_size);
  // Scores and weighted values: 2 d each a (query, key) pair.
  const double per_pair = 4 * d;
  if (!config.is_drt()) {
    const double positions = count_positions(config, tokens);
    // Training with landmarks reads all that came before.
    const double reach = config.kind == "landmark" ? positions : window;
    return logits + memory_layer_flops(config, tokens) +
           layers * (2 * positions * layer_matrix_elements(config, key_value_size(config)) +
                     per_pair * window_pairs(positions, reach));
  }
  const std::int64_t num_chunks = (length + config.chunk_size - 1) / config.chunk_size;
  const auto chunks = static_cast<double>(num_chunks);
  const auto chunk_positions = static_cast<double>(config.chunk_size + 1);
  const double positions = chunks * chunk_positions;
  double flops = logits;
  flops += layers * (2 * positions * layer_matrix_elements(config, key_value_size(config)) +
                     per_pair * window_pairs(positions, window));
  flops += static_cast<double>(config.num_encoder_layers) *
           (2 * positions * layer_matrix_elements(config, d) + per_pair * positions * chunk_positions);
  const auto vectors = static_cast<double>(config.chunk_vectors());
  const double text = chunks * static_cast<double>(config.chunk_size);
  if (config.kind == "rpt" && config.retriever == "encoder") {
    flops += static_cast<double>(config.num_encoder_layers) *
             (2 * text * layer_matrix_elements(config, d) + per_pair * text * static_cast<double>(config.chunk_size));
  }
  if (config.kind == "compressed-memory") flops += text * 4 * d * vectors;
  flops += 4 * chunks * vectors * d * d;  // chunk keys and values
  flops += static_cast<double>(config.num_upper_groups()) * 2 * static_cast<double>(config.landmark_size()) * chunks *
           (chunks - 1) / 2;  // chunk scores
  double retrieved = 0;       // chunks that all chunks attend to together; chunk c reads what chunk c - 1 found
  for (std::int64_t c = 1; c < num_chunks; ++c) retrieved += static_cast<double>(std::min(config.top_k, c - 1));
  flops += static_cast<double>(num_upper_layers(config)) *
           (4 * (chunks - 1) * chunk_positions * d * d + per_pair * chunk_positions * retrieved * vectors);
  return flops;
}

double memory_bytes_per_token(const ModelConfig& config, std::int64_t element_bytes) {
  double chunk_elements = 0;  // keys, values and landmark
  if (config.is_drt()) {
    chunk_elements = static_cast<double>(2 * config.chunk_vectors() * config.hidden_size + config.landmark_size());
  }
  if (config.kind == "landmark") {
    const std::int64_t row = config.num_layers * config.num_kv_heads * config.head_dim();
    chunk_elements = static_cast<double>((2 * config.chunk_size + 1) * row);
  }
  return chunk_elements * static_cast<double>(element_bytes) / static_cast<double>(config.chunk_size);
}

std::int64_t window_bytes(const ModelConfig& config, std::int64_t element_bytes) {
  // Landmark attention keeps the unfinished block.
  const std::int64_t positions = config.kind == "landmark" ? config.chunk_size : config.window_size;
  const std::int64_t row = config.head_dim() * config.num_kv_heads;  // elements of a position's keys
  std::int64_t elements = num_decoder_layers(config) * 2 * positions * row;
  if (config.kind == "block-recurrent") elements += config.state_size * config.hidden_size;
  if (config.kind == "memorizing") {
    elements += config.memory_width > 0 ? (config.window_size + config.memory_size) * config.memory_width
                                        : config.memory_size * 2 * row;
  }
  // Where something without positions reads the window's keys, too, they are kept both ways.
  const bool keys_are_shared =
      config.kind == "block-recurrent" || (config.kind == "memorizing" && config.memory_width == 0);
  if (keys_are_shared && config.window_positions == WindowPositions::rope) elements += config.window_size * row;
  return elements * element_bytes;
}

}  // namespace lookback
