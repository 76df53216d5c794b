// The training loop: batches -> loss -> gradients -> AdamW, with validation, checkpoints and metrics.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>

#include "data/token_batch.h"
#include "lookback/train.h"
#include "models/model.h"
#include "text/tokenizer.h"
#include "train/train_config.h"

namespace lookback {

// Mean negative log-likelihood (nats a token) over `num_tokens` tokens.
struct ValidationResult {
  double loss = std::numeric_limits<double>::quiet_NaN();
  std::int64_t num_tokens = 0;
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

// Trains `model` until config.steps. Everything that follows from the seed, the source and the number of threads is
// the same every time, and a resumed run equals one that was never stopped, bit by bit. Throws Error when the loss or a
// gradient is not finite (naming the last good checkpoint), when files cannot be read or written, and for a checkpoint
// that is broken (naming the newest that is whole).
TrainResult train(Model& model, BatchSource& source, const TrainConfig& config, const TrainIo& io);

}  // namespace lookback
