// What a training run will take, before it starts.
#pragma once

#include <cstdint>
#include <vector>

#include "core/json.h"
#include "train/run_config.h"

namespace lookback {

struct TrainingEstimate {
  std::int64_t num_parameters = 0;
  // Bytes while training. Weights, gradients and moments are float32.
  double weight_bytes = 0;
  double gradient_bytes = 0;
  double optimizer_bytes = 0;
  double activation_bytes = 0;               // of one batch, everything kept for backward and its temporaries
  double checkpointed_activation_bytes = 0;  // the same with gradient_checkpointing

  double flops_per_token = 0;  // forward and backward, model arithmetic
  double machine_peak_flops = 0;
  double utilisation = 0;  // fraction of it that training reaches
  double tokens_per_step = 0;
  double seconds_per_step = 0;
  double seconds = 0;  // of all steps

  // Whether real steps were run here (memory, utilisation), or both come from formulas and an assumed utilisation.
  bool measured = false;

  std::vector<TrainingEstimate> stages;  // of a run with stages; the rest is then of all of them

  // At inference, for one sequence, in the run's dtype.
  double memory_bytes_per_token = 0;
  std::int64_t window_bytes = 0;

  double total_bytes(bool gradient_checkpointing) const {
    return weight_bytes + gradient_bytes + optimizer_bytes +
           (gradient_checkpointing ? checkpointed_activation_bytes : activation_bytes);
  }
};

// On a CPU, runs three real steps on random tokens (for memory with and without gradient checkpointing, then one timed)
// when the formulas say that they fit into half of this machine's free memory and a minute; otherwise computes. Uses
// the threads that are set. Of a run with stages, each is tried by itself; memory is that of the largest, time that of
// all, the other numbers are means. Throws Error for a device that is not there.
TrainingEstimate estimate_training(const RunConfig& config);

Json to_json(const TrainingEstimate& estimate, const RunConfig& config);

}  // namespace lookback
