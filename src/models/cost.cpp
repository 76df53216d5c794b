#include "models/cost.h"

#include <algorithm>

#include "models/kind.h"

namespace lookback {
namespace {

const KindCost& cost_of(const ModelConfig& config) { return kind_named(config.kind).cost; }

}  // namespace

std::int64_t count_parameters(const ModelConfig& config) {
  const auto d = static_cast<double>(config.hidden_size);
  const double count = static_cast<double>(config.vocab_size) * d + d + cost_of(config).parameters(config);
  return static_cast<std::int64_t>(std::min(count, 0x1p62));
}

double count_given_parameters(const ModelConfig& config) { return cost_of(config).given_parameters(config); }

double forward_flops(const ModelConfig& config, std::int64_t length) {
  const double logits = 2 * static_cast<double>(length) * static_cast<double>(config.hidden_size) *
                        static_cast<double>(config.vocab_size);
  return logits + cost_of(config).flops(config, length);
}

double activation_elements_per_token(const ModelConfig& config, bool gradient_checkpointing) {
  const double embedding_last_norm_and_loss = 4 * static_cast<double>(config.hidden_size);
  const auto chunk_size = static_cast<double>(config.chunk_size);
  const double positions = config.has_landmarks() ? (chunk_size + 1) / chunk_size : 1;
  return positions * (embedding_last_norm_and_loss + cost_of(config).activations(config, gradient_checkpointing));
}

double memory_bytes_per_token(const ModelConfig& config, std::int64_t element_bytes) {
  return cost_of(config).memory_elements(config) * static_cast<double>(element_bytes);
}

std::int64_t window_bytes(const ModelConfig& config, std::int64_t element_bytes) {
  return cost_of(config).window_elements(config) * element_bytes;
}

}  // namespace lookback
