// Training a model on prepared text: a run folder that `lookback train` would have made, and goes on with.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string>

#include "lookback/export.h"
#include "lookback/stop.h"

namespace lookback {

// One optimizer step as it is reported and written to metrics.jsonl.
struct StepMetrics {
  std::int64_t step = 0;   // steps done, this one included
  double loss = 0;         // of this step's batches, before its update
  double recent_loss = 0;  // mean of `loss` over the last 20 steps (fewer at the beginning)
  double lr = 0;
  double gradient_norm = 0;                                       // before clipping
  double exact_match = std::numeric_limits<double>::quiet_NaN();  // of the batch's answers; NaN: it had none
  std::int64_t tokens = 0;  // text tokens since the run began, resumed parts included
  double seconds = 0;       // that the step took
  double tokens_per_second = 0;
  double peak_fraction = 0;  // of the machine in matrix products that the step reached; 0: not measured
  std::optional<double> validation_loss;
  std::int64_t stage = 0;  // that the step is of, from 1 on; 0: the run has no stages
};

// What a call of train() did.
struct TrainResult {
  std::int64_t steps = 0;                                  // done in all, resumed parts included
  bool interrupted = false;                                // asked to stop before the last step; a checkpoint was saved
  double loss = std::numeric_limits<double>::quiet_NaN();  // recent_loss of the last step
  double best_loss = std::numeric_limits<double>::quiet_NaN();  // validation loss, or recent_loss without one
  std::int64_t best_step = 0;
  std::optional<double> validation_loss;  // the last one measured
  std::int64_t tokens = 0;                // text tokens in all
  double seconds = 0;                     // of this call, validation and checkpoints included
  double tokens_per_second = 0;           // of the steps alone
  double peak_fraction = 0;
};

struct TrainingRun {
  std::filesystem::path config;           // a configuration, [model], [train] and [data] in TOML; empty: none
  std::string settings;                   // in the same form: keys that go over those of `config`
  std::filesystem::path data;             // a folder of `lookback prepare`; empty: what [data] says
  std::filesystem::path out;              // the run's folder: configuration, metrics, checkpoints
  bool resume = false;                    // go on with the run in `out`, exactly as if it had not stopped
  std::optional<std::int64_t> from_step;  // with resume: from that step's checkpoint instead of the last
  StopToken stop;                         // asked after each step: a checkpoint is saved, and train() returns

  // On the thread that trains; each may be empty.
  std::function<void(const std::string&)> on_warning;  // of what will be slow, before the first step
  std::function<void(const std::string&)> on_note;     // lines for people, before the first step
  std::function<void(const StepMetrics&)> on_step;     // what metrics.jsonl records of a step
  bool live_line = false;                              // progress on standard error
};

// Trains until the configuration's last step. The same configuration, data and number of threads give the same weights,
// bit by bit, however often the run was stopped. Sets the number of threads of tensor operations in the whole process.
// Throws Error for what is wrong in the configuration or the data, for a run that resuming would alter, when the loss
// is no longer finite (naming the last good checkpoint), and when files cannot be read or written.
LOOKBACK_API TrainResult train(const TrainingRun& run);

}  // namespace lookback
