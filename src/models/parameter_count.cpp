#include "models/parameter_count.h"

#include <algorithm>
#include <numeric>

namespace lookback {

double key_value_size(const ModelConfig& config) {
  return static_cast<double>(config.head_dim() * config.num_kv_heads);
}

double layer_matrix_elements(const ModelConfig& config, double key_value_size) {
  const auto d = static_cast<double>(config.hidden_size);
  return 2 * d * d + 2 * d * key_value_size + 3 * d * static_cast<double>(config.intermediate_size);
}

double memory_matrix_elements(const ModelConfig& config) {
  const auto d = static_cast<double>(config.hidden_size);
  const auto width = static_cast<double>(config.memory_width);
  if (config.kind == "block-recurrent") return 6 * d * d + 2 * d * key_value_size(config);
  if (config.kind == "memorizing" && config.memory_width > 0)
    return 2 * d * d + d * width + 2 * key_value_size(config) * width;
  return 0;
}

std::int64_t num_upper_layers(const ModelConfig& config) {
  return std::accumulate(config.decoder_layers.begin() + 1, config.decoder_layers.end(), std::int64_t{0});
}

std::int64_t num_decoder_layers(const ModelConfig& config) {
  return config.is_drt() ? config.decoder_layers[0] + num_upper_layers(config) : config.num_layers;
}

std::int64_t count_parameters(const ModelConfig& config) {
  const auto d = static_cast<double>(config.hidden_size);
  const auto layers = static_cast<double>(num_decoder_layers(config));
  double count = static_cast<double>(config.vocab_size) * d + d;  // embedding, final norm
  count += layers * (layer_matrix_elements(config, key_value_size(config)) + 2 * d);
  count += memory_matrix_elements(config);
  // Norm, two biases, ids.
  if (config.kind == "block-recurrent") count += (3 + static_cast<double>(config.state_size)) * d;
  if (config.kind == "memorizing" && config.memory_width == 0) count += static_cast<double>(config.num_heads);
  if (config.is_drt()) {
    count += static_cast<double>(config.num_encoder_layers) * (layer_matrix_elements(config, d) + 2 * d);
    count += 2 * d + 2 * d * d;  // encoder norms, chunk projections
    if (config.kind != "rpt") count += static_cast<double>(config.num_upper_groups()) * d;  // lmk_norms
    if (config.kind == "compressed-memory") count += static_cast<double>(config.memory_vectors) * d;
    count += static_cast<double>(num_upper_layers(config)) * (d + 2 * d * d);  // gca
  }
  return static_cast<std::int64_t>(std::min(count, 0x1p62));
}

}  // namespace lookback
