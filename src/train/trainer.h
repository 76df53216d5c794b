// The training loop: batches -> loss -> gradients -> AdamW, with validation, checkpoints and metrics.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>

#include "core/stop.h"
#include "data/token_batch.h"
#include "models/model.h"
#include "text/tokenizer.h"
#include "train/train_config.h"

namespace lookback {

// Mean negative log-likelihood (nats a token) over `num_tokens` tokens.
struct ValidationResult {
  double loss = std::numeric_limits<double>::quiet_NaN();
  std::int64_t num_tokens = 0;
};

// One optimizer step as it is reported and written to metrics.jsonl.
struct StepMetrics {
  std::int64_t step = 0;   // steps done, this one included
  double loss = 0;         // of this step's batches, before its update
  double recent_loss = 0;  // mean of `loss` over the last recent_loss_steps steps (fewer at the beginning)
  double lr = 0;
  double gradient_norm = 0;                                       // before clipping
  double exact_match = std::numeric_limits<double>::quiet_NaN();  // of the batch's answers; NaN: it had none
  std::int64_t tokens = 0;  // text tokens since the run began, resumed parts included
  double tokens_per_second = 0;
  double peak_fraction = 0;  // model arithmetic / machine_peak_flops; 0 when that is not known
  std::optional<double> validation_loss;
};

// What is called a run's training loss wherever one number is wanted: single steps' losses scatter too much.
constexpr std::size_t recent_loss_steps = 20;

struct TrainIo {
  // Gets metrics.jsonl, checkpoints/, last, best (see checkpoint.h). Empty: nothing is written.
  std::filesystem::path run_folder;
  // Continue from run_folder's last checkpoint (from the beginning when there is none yet).
  bool resume = false;
  // With resume: from the checkpoint of this step instead; later ones are set aside (RunFolder::set_aside).
  std::optional<std::int64_t> from_step;
  // Saved into every checkpoint when given.
  const Tokenizer* tokenizer = nullptr;
  // Measures the model as it is now. Must not change it, nor depend on anything but its weights.
  std::function<ValidationResult()> validate;
  std::function<void(const StepMetrics&)> on_step;
  double machine_peak_flops = 0;  // see machine_peak.h
  bool quiet = false;             // no live line
  StopToken stop;                 // asked after each step
};

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

// Trains `model` until config.steps. Everything that follows from the seed, the source and the number of threads is
// the same every time, and a resumed run equals one that was never stopped, bit by bit. Throws Error when the loss or a
// gradient is not finite (naming the last good checkpoint), when files cannot be read or written, and for a checkpoint
// that is broken (naming the newest that is whole).
TrainResult train(Model& model, BatchSource& source, const TrainConfig& config, const TrainIo& io);

}  // namespace lookback
