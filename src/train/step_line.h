// The live line of a training run.
#pragma once

#include <cstdint>
#include <optional>

#include "core/progress.h"
#include "train/train_recorder.h"

namespace lookback {

// Shows on standard error how far the run is, how long it will take and how the loss stands.
class StepLine : public TrainRecorder {
 public:
  // num_steps: of the whole run, those included that were done before.
  explicit StepLine(std::int64_t num_steps) : num_steps_(num_steps) {}

  void record(const StepMetrics& metrics) override;
  // Ends the line: something else is to be printed.
  void finish() { line_.finish(); }

 private:
  std::int64_t num_steps_;
  std::optional<std::int64_t> steps_before_;  // of an earlier call, once a step was recorded
  // Of the steps recorded.
  double seconds_ = 0;
  double tokens_ = 0;
  double peak_seconds_ = 0;  // that they would have taken at the machine's peak
  std::optional<double> validation_loss_;
  ProgressLine line_;
};

}  // namespace lookback
