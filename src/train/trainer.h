// The training loop: batches -> loss -> gradients -> AdamW, with validation, checkpoints and metrics.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

#include "data/token_batch.h"
#include "lookback/train.h"
#include "models/model.h"
#include "text/tokenizer.h"
#include "train/train_config.h"
#include "train/train_recorder.h"

namespace lookback {

// Mean negative log-likelihood (nats a token) over `num_tokens` tokens.
struct ValidationResult {
  double loss = std::numeric_limits<double>::quiet_NaN();
  std::int64_t num_tokens = 0;
};

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
  std::vector<TrainRecorder*> recorders;  // told of each step behind metrics.jsonl, in this order
  double machine_peak_flops = 0;          // see machine_peak.h
  StopToken stop;                         // asked after each step
  // Steps whose numbers may be unread while the next one begins, so that a GPU never waits for the host: a loss that is
  // no number is then found so many steps late. Empty: 1 on a GPU, 0 on the CPU. Results do not depend on it.
  std::optional<std::size_t> most_unread_steps;
};

// Trains `model` until config.steps; batches are made ahead in a thread (data/batches_ahead.h) unless the source
// listens, and the source is left behind those that were used. Everything that follows from the seed, the source and
// the number of threads is the same every time, and a resumed run equals one that was never stopped, bit by bit. Throws
// Error when the loss or a gradient is not finite (naming the step, which changed no weight, and the last good
// checkpoint), when files cannot be read or written, and for a checkpoint that is broken (naming the newest that is
// whole).
TrainResult train(Model& model, BatchSource& source, const TrainConfig& config, const TrainIo& io);

}  // namespace lookback
