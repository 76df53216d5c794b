#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace lookback {

double learning_rate(const Schedule& schedule, std::int64_t step) {
  const double progress = static_cast<double>(step) / static_cast<double>(schedule.steps);
  const double cosine = 0.5 * (1 + std::cos(std::numbers::pi * std::min(1.0, progress)));
  const double warmup = schedule.warmup_steps > 0
                            ? std::min(1.0, static_cast<double>(step + 1) / static_cast<double>(schedule.warmup_steps))
                            : 1.0;
  return warmup * (schedule.min_lr + (schedule.lr - schedule.min_lr) * cosine);
}

double learning_rate(const TrainConfig& config, std::int64_t step) {
  if (!config.stages.empty()) {
    const StagePosition position = stage_position(config, step);
    const std::optional<Schedule>& own = config.stages[position.stage].schedule;
    if (own) return learning_rate(*own, position.step);
  }
  const std::int64_t length = config.schedule_steps > 0 ? config.schedule_steps : config.steps;
  return learning_rate(Schedule{length, config.lr, config.min_lr, config.warmup_steps}, step);
}

}  // namespace lookback
