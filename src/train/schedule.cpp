#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace lookback {

double learning_rate(const TrainConfig& config, std::int64_t step) {
  const std::int64_t length = config.schedule_steps > 0 ? config.schedule_steps : config.steps;
  const double progress = static_cast<double>(step) / static_cast<double>(length);
  const double cosine = 0.5 * (1 + std::cos(std::numbers::pi * std::min(1.0, progress)));
  const double warmup = config.warmup_steps > 0
                            ? std::min(1.0, static_cast<double>(step + 1) / static_cast<double>(config.warmup_steps))
                            : 1.0;
  return warmup * (config.min_lr + (config.lr - config.min_lr) * cosine);
}

}  // namespace lookback
