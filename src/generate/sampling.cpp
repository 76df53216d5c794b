#include "generate/sampling.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "core/error.h"

namespace lookback {
namespace {

constexpr float removed = -std::numeric_limits<float>::infinity();

// The largest logit, checked: the door through which every row passes before it is exponentiated.
float checked_maximum(std::span<const float> logits) {
  float maximum = removed;
  for (const float logit : logits) {
    require(!std::isnan(logit), "the model's logits hold NaN: its weights or its input are broken");
    maximum = std::max(maximum, logit);
  }
  require(maximum != removed, "no token is left to choose from: all {} logits are -infinity", logits.size());
  require(std::isfinite(maximum), "the model's logits overflow (+infinity): its weights are broken");
  return maximum;
}

// softmax in float64 [vocab_size].
std::vector<double> probabilities(std::span<const float> logits) {
  const double maximum = checked_maximum(logits);
  std::vector<double> result(logits.size());
  double total = 0;
  for (std::size_t id = 0; id < logits.size(); ++id) {
    result[id] = std::exp(static_cast<double>(logits[id]) - maximum);
    total += result[id];
  }
  for (double& probability : result) probability /= total;
  return result;
}

}  // namespace

void check_sampling_config(const SamplingConfig& config) {
  require(std::isfinite(config.temperature) && config.temperature > 0,
          "temperature {}: must be positive (for the most probable token each time, ask for greedy)",
          config.temperature);
  require(config.top_k >= 0, "top-k {}: must be 0 (off) or the number of tokens to keep", config.top_k);
  require(config.top_p > 0 && config.top_p <= 1, "top-p {}: must lie in (0, 1]", config.top_p);
  require(config.min_p >= 0 && config.min_p <= 1, "min-p {}: must lie in [0, 1]", config.min_p);
  require(std::isfinite(config.repetition_penalty) && config.repetition_penalty > 0,
          "repetition penalty {}: must be positive (1: off)", config.repetition_penalty);
}

void apply_repetition_penalty(std::span<float> logits, std::span<const std::int64_t> seen_ids, double penalty) {
  const auto factor = static_cast<float>(penalty);
  for (const std::int64_t id : seen_ids) {
    float& logit = logits[static_cast<std::size_t>(id)];
    logit = logit < 0 ? logit * factor : logit / factor;
  }
}

void apply_temperature(std::span<float> logits, double temperature) {
  const auto divisor = static_cast<float>(temperature);
  for (float& logit : logits) logit /= divisor;
}

void keep_top_k(std::span<float> logits, std::int64_t top_k) {
  if (top_k <= 0 || static_cast<std::size_t>(top_k) >= logits.size()) return;
  std::vector<float> ranked(logits.begin(), logits.end());
  std::nth_element(ranked.begin(), ranked.begin() + (top_k - 1), ranked.end(), std::greater<>());
  const float weakest = ranked[static_cast<std::size_t>(top_k - 1)];
  for (float& logit : logits) {
    if (logit < weakest) logit = removed;
  }
}

void keep_top_p(std::span<float> logits, double top_p) {
  if (top_p >= 1) return;
  const std::vector<double> probability = probabilities(logits);
  std::vector<std::size_t> ranked;
  for (std::size_t id = 0; id < logits.size(); ++id) {
    if (probability[id] > 0) ranked.push_back(id);
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [&](std::size_t a, std::size_t b) { return probability[a] > probability[b]; });
  double kept = 0;
  for (const std::size_t id : ranked) {
    if (kept >= top_p) logits[id] = removed;
    kept += probability[id];
  }
}

void keep_min_p(std::span<float> logits, double min_p) {
  if (min_p <= 0) return;
  const double maximum = checked_maximum(logits);
  for (float& logit : logits) {
    if (std::exp(static_cast<double>(logit) - maximum) < min_p) logit = removed;
  }
}

std::int64_t greedy_token(std::span<const float> logits) {
  const float maximum = checked_maximum(logits);
  return std::find(logits.begin(), logits.end(), maximum) - logits.begin();
}

std::int64_t draw_token(std::span<const float> logits, Random& random) {
  const std::vector<double> probability = probabilities(logits);
  const double threshold = random.uniform();
  double cumulative = 0;
  std::size_t chosen = 0;
  for (std::size_t id = 0; id < probability.size(); ++id) {
    if (probability[id] == 0) continue;
    chosen = id;  // also the answer when rounding leaves the sum just below the threshold
    cumulative += probability[id];
    if (cumulative > threshold) break;
  }
  return static_cast<std::int64_t>(chosen);
}

std::int64_t sample_token(std::span<float> logits, std::span<const std::int64_t> seen_ids, const SamplingConfig& config,
                          Random& random) {
  checked_maximum(logits);
  if (config.repetition_penalty != 1) apply_repetition_penalty(logits, seen_ids, config.repetition_penalty);
  if (config.greedy) return greedy_token(logits);
  if (config.temperature != 1) apply_temperature(logits, config.temperature);
  keep_top_k(logits, config.top_k);
  keep_top_p(logits, config.top_p);
  keep_min_p(logits, config.min_p);
  return draw_token(logits, random);
}

}  // namespace lookback
