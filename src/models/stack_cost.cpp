#include "models/stack_cost.h"

#include <algorithm>

namespace lookback {

double key_value_size(const ModelConfig& config) {
  return static_cast<double>(config.head_dim() * config.num_kv_heads);
}

double layer_matrix_elements(const ModelConfig& config, double key_value_size) {
  const auto d = static_cast<double>(config.hidden_size);
  return 2 * d * d + 2 * d * key_value_size + 3 * d * static_cast<double>(config.intermediate_size);
}

double window_pairs(double positions, double window) {
  const double reach = std::min(positions, window + 1);
  return reach * (reach + 1) / 2 + (positions - reach) * (window + 1);
}

double layer_flops(const ModelConfig& config, double num_layers, double positions, double window) {
  // Scores and weighted values: 2 d each a (query, key) pair.
  const double per_pair = 4 * static_cast<double>(config.hidden_size);
  return num_layers * (2 * positions * layer_matrix_elements(config, key_value_size(config)) +
                       per_pair * window_pairs(positions, window));
}

// Both norms' inputs and outputs, query, key, value, attended and projected rows; the MLP's gate, up, activation and
// product.
double layer_activations(const ModelConfig& config) {
  return 7 * static_cast<double>(config.hidden_size) + 2 * key_value_size(config) +
         4 * static_cast<double>(config.intermediate_size);
}

std::int64_t key_value_elements(const ModelConfig& config, std::int64_t num_layers, std::int64_t positions) {
  return num_layers * 2 * positions * config.head_dim() * config.num_kv_heads;
}

double convolution_parameters(const ModelConfig& config, std::int64_t num_layers) {
  return static_cast<double>(convolution_elements(config, num_layers));
}

double convolution_flops(const ModelConfig& config, std::int64_t num_layers, double positions) {
  return 2 * positions * convolution_parameters(config, num_layers);
}

std::int64_t convolution_elements(const ModelConfig& config, std::int64_t num_layers) {
  return config.num_convolutions(num_layers) * std::max<std::int64_t>(config.conv_kernel - 1, 0) * config.hidden_size;
}

double stack_parameters(const ModelConfig& config) {
  const double norms = 2 * static_cast<double>(config.hidden_size);
  return static_cast<double>(config.num_layers) * (layer_matrix_elements(config, key_value_size(config)) + norms) +
         convolution_parameters(config, config.num_layers);
}

double stack_flops(const ModelConfig& config, std::int64_t length) {
  return layer_flops(config, static_cast<double>(config.num_layers), static_cast<double>(length),
                     static_cast<double>(config.window_size)) +
         convolution_flops(config, config.num_layers, static_cast<double>(length));
}

double stack_activations(const ModelConfig& config, bool gradient_checkpointing) {
  const auto num_layers = static_cast<double>(config.num_layers);
  const double one = layer_activations(config);
  return gradient_checkpointing ? num_layers * static_cast<double>(config.hidden_size) + one : num_layers * one;
}

double no_elements(const ModelConfig& /*config*/) { return 0; }

std::int64_t stack_window_elements(const ModelConfig& config) {
  return key_value_elements(config, config.num_layers, config.window_size) +
         convolution_elements(config, config.num_layers);
}

std::int64_t shared_key_elements(const ModelConfig& config) {
  if (config.window_positions != WindowPositions::rope) return 0;
  return config.window_size * config.head_dim() * config.num_kv_heads;
}

}  // namespace lookback
