// The live line of a training run.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/progress.h"
#include "train/train_recorder.h"

namespace lookback {

// Steps that take as long as each other.
struct StageWork {
  std::int64_t num_steps = 0;
  double work_per_step = 1;  // in any unit
};

// Of the first `step` steps of stages that follow each other.
double work_until(std::span<const StageWork> stages, std::int64_t step);

// Shows on standard error how far the run is, how long it will take and how the loss stands.
class StepLine : public TrainRecorder {
 public:
  // num_steps: of the whole run, those included that were done before.
  explicit StepLine(std::int64_t num_steps) : stages_{{num_steps, 1}} {}
  // The same of a run with stages, of which there is one at least.
  explicit StepLine(std::vector<StageWork> stages) : stages_(std::move(stages)) {}

  void record(const StepMetrics& metrics) override;
  // Ends the line: something else is to be printed.
  void finish() { line_.finish(); }

 private:
  std::vector<StageWork> stages_;
  std::optional<std::int64_t> steps_before_;  // of an earlier call, once a step was recorded
  // Of the steps recorded.
  double seconds_ = 0;
  double tokens_ = 0;
  double peak_seconds_ = 0;  // that they would have taken at the machine's peak
  std::optional<double> validation_loss_;
  ProgressLine line_;
};

}  // namespace lookback
