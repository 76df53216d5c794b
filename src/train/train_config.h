// What decides the course of a training run, apart from the model and its data.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>

namespace lookback {

struct TrainConfig {
  std::int64_t steps = 1000;  // optimizer steps

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

// Throws Error naming the first value that is out of range. `source` opens its message.
void check_train_config(const TrainConfig& config, const std::string& source);

}  // namespace lookback
