// What decides the course of a training run, apart from the model and its data.
#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lookback {

// How the learning rate goes (schedule.h).
struct Schedule {
  std::int64_t steps = 0;  // over which lr falls to min_lr, where it stays
  double lr = 0;
  double min_lr = 0;
  std::int64_t warmup_steps = 0;
};

// A part of a run that reads something of its own (stage_config.h), in optimizer steps. Training losses of different
// stages do not compare: the mean of the last steps begins anew with each, and so does the best one without validation.
struct TrainStage {
  std::int64_t steps = 0;
  std::optional<Schedule> schedule;  // from the stage's first step on; none: the run's goes on through it
};

struct TrainConfig {
  std::int64_t steps = 1000;  // optimizer steps

  std::vector<TrainStage> stages;  // none: the run is all one; else their steps are the run's

  // Schedule (see schedule.h).
  std::int64_t schedule_steps = 0;  // over which lr falls to min_lr, where it stays; 0: over all steps
  double lr = 2e-3;
  double min_lr = 4e-4;
  std::int64_t warmup_steps = 20;

  // AdamW (arXiv 1711.05101).
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.01;
  bool decay_all_parameters = false;  // otherwise only matrices decay, norms do not
  double clip_grad_norm = 1.0;        // 0: no clipping

  std::int64_t grad_accumulation_steps = 1;  // batches an optimizer step
  bool gradient_checkpointing = false;
  at::ScalarType dtype = at::kFloat;  // of activations; weights, gradients and moments stay float32
  std::uint64_t seed = 0;             // of the noise in training

  std::int64_t validate_every = 0;    // steps; 0: only after the last one
  std::int64_t checkpoint_every = 0;  // steps; 0: only after the last one
  std::int64_t keep_checkpoints = 2;  // the last n stay, and the best one
};

// What min_lr and warmup_steps are where nobody says: a fifth of lr, 2% of the steps.
double default_min_lr(const TrainConfig& config);
std::int64_t default_warmup_steps(const TrainConfig& config);

// Where a run is in its stages.
struct StagePosition {
  std::size_t stage = 0;  // index in TrainConfig::stages
  std::int64_t step = 0;  // steps of the stage that are done
};

// Behind `step` steps of a run that has stages; the last one goes on beyond its end.
StagePosition stage_position(const TrainConfig& config, std::int64_t step);

// Throws Error naming the first value that is out of range. `source` opens its message.
void check_train_config(const TrainConfig& config, const std::string& source);

}  // namespace lookback
