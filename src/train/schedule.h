// The learning rate by step.
#pragma once

#include <cstdint>

#include "train/train_config.h"

namespace lookback {

// The rate of optimizer step `step` (0, 1, ...): linear warmup times a cosine from lr to min_lr over the schedule's n
// steps, then min_lr: min(1, (step + 1) / warmup_steps) * (min_lr + (lr - min_lr) (1 + cos(pi min(1, step / n))) / 2).
double learning_rate(const Schedule& schedule, std::int64_t step);

// Of a run's step: by the schedule of the stage that it is in, where that has one of its own, else by the run's, whose
// n is all steps unless the run was given more later.
double learning_rate(const TrainConfig& config, std::int64_t step);

}  // namespace lookback
