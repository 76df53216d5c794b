// Who hears of a training run's steps while it goes.
#pragma once

#include <cstddef>

#include "lookback/train.h"

namespace lookback {

// What is called a run's training loss wherever one number is wanted: single steps' losses scatter too much.
constexpr std::size_t recent_loss_steps = 20;

// Called by the thread that trains; what it throws ends the training.
class TrainRecorder {
 public:
  virtual ~TrainRecorder() = default;
  // After each step, in their order, before the step's checkpoint. On a GPU the next step may be under way.
  virtual void record(const StepMetrics& metrics) = 0;
};

}  // namespace lookback
