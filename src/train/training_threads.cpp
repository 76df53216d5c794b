#include "train/training_threads.h"

#include <algorithm>

#include "ops/parallel.h"

namespace lookback {

int training_threads(const RunConfig& config) {
  // Half a millisecond of a core; a sleeping thread is awake after a twentieth of that, later on a busy machine.
  constexpr double flops_worth_a_thread = 2e7;
  const auto tokens_of = [](const auto& batch) {
    return static_cast<double>(batch.batch_size) * static_cast<double>(batch.context_length);
  };
  double tokens = config.stages.empty() ? tokens_of(config) : 0;
  for (const StageConfig& stage : config.stages) tokens = std::max(tokens, tokens_of(stage));
  const double product_flops =
      2 * tokens * static_cast<double>(config.model.hidden_size) * static_cast<double>(config.model.intermediate_size);
  return static_cast<int>(
      std::clamp(product_flops / flops_worth_a_thread, 1.0, static_cast<double>(default_threads())));
}

}  // namespace lookback
