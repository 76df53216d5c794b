#include "train/train_config.h"

#include <cmath>

#include "core/error.h"

namespace lookback {

double default_min_lr(const TrainConfig& config) { return config.lr / 5; }

std::int64_t default_warmup_steps(const TrainConfig& config) {
  return static_cast<std::int64_t>(std::ceil(0.02 * static_cast<double>(config.steps)));
}

StagePosition stage_position(const TrainConfig& config, std::int64_t step) {
  StagePosition position{0, step};
  while (position.stage + 1 < config.stages.size() && position.step >= config.stages[position.stage].steps) {
    position.step -= config.stages[position.stage].steps;
    ++position.stage;
  }
  return position;
}

void check_train_config(const TrainConfig& config, const std::string& source) {
  const auto at_least = [&source](std::int64_t value, std::int64_t least, const char* key) {
    require(value >= least, "{}: {} must be at least {}, found {}", source, key, least, value);
  };
  const auto not_negative = [&source](double value, const char* key) {
    require(std::isfinite(value) && value >= 0, "{}: {} must be a number that is not negative, found {}", source, key,
            value);
  };
  const auto below_one = [&source](double value, const char* key) {
    require(value >= 0 && value < 1, "{}: {} must be in [0, 1), found {}", source, key, value);
  };
  at_least(config.steps, 1, "steps");
  at_least(config.schedule_steps, 0, "schedule_steps");
  at_least(config.warmup_steps, 0, "warmup_steps");
  at_least(config.grad_accumulation_steps, 1, "grad_accumulation_steps");
  at_least(config.validate_every, 0, "validate_every");
  at_least(config.checkpoint_every, 0, "checkpoint_every");
  at_least(config.keep_checkpoints, 1, "keep_checkpoints");
  not_negative(config.lr, "lr");
  not_negative(config.min_lr, "min_lr");
  not_negative(config.weight_decay, "weight_decay");
  not_negative(config.clip_grad_norm, "clip_grad_norm");
  require(config.min_lr <= config.lr, "{}: min_lr {} is above lr {}", source, config.min_lr, config.lr);
  require(std::isfinite(config.eps) && config.eps > 0, "{}: eps must be positive, found {}", source, config.eps);
  below_one(config.beta1, "beta1");
  below_one(config.beta2, "beta2");
  std::int64_t steps_of_stages = 0;
  for (const TrainStage& stage : config.stages) steps_of_stages += stage.steps;
  require(config.stages.empty() || steps_of_stages == config.steps, "{}: steps is {}, but the stages have {}", source,
          config.steps, steps_of_stages);
}

}  // namespace lookback
