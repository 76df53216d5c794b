// Who hears of a training run's steps while it goes.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>

namespace lookback {

// One optimizer step as it is reported and written to metrics.jsonl.
struct StepMetrics {
  std::int64_t step = 0;   // steps done, this one included
  double loss = 0;         // of this step's batches, before its update
  double recent_loss = 0;  // mean of `loss` over the last recent_loss_steps steps (fewer at the beginning)
  double lr = 0;
  double gradient_norm = 0;                                       // before clipping
  double exact_match = std::numeric_limits<double>::quiet_NaN();  // of the batch's answers; NaN: it had none
  std::int64_t tokens = 0;  // text tokens since the run began, resumed parts included
  double seconds = 0;       // that the step took
  double tokens_per_second = 0;
  double peak_fraction = 0;  // model arithmetic / machine_peak_flops; 0 when that is not known
  std::optional<double> validation_loss;
};

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
