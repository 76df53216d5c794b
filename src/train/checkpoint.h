// All that a run needs to go on as if it had never stopped: a model folder (config.json, model.safetensors, the
// tokenizer), optimizer.safetensors (moments, step counts, the noise generator's state) and trainer.json.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <vector>

#include "core/json.h"
#include "data/token_batch.h"
#include "models/model.h"
#include "text/tokenizer.h"
#include "train/optimizer.h"

namespace lookback {

// The loop's own state (trainer.json), beside weights, optimizer, generator and batch source.
struct TrainProgress {
  std::int64_t step = 0;  // steps done
  std::int64_t tokens = 0;
  std::vector<double> recent_losses;  // of the last recent_loss_steps steps, the oldest first
  double best_loss = std::numeric_limits<double>::infinity();
  std::int64_t best_step = 0;  // 0: none yet
  std::optional<double> validation_loss;
};

// What a checkpoint is made of and goes back into.
struct CheckpointParts {
  Model& model;
  AdamW& optimizer;
  at::Generator& generator;
  BatchSource& source;
  TrainProgress& progress;
  const Tokenizer* tokenizer = nullptr;
};

// Whether every weight is a finite number: nothing else may become a checkpoint.
bool has_finite_weights(const Model& model);

// Writes the files into an empty folder.
void write_checkpoint(const CheckpointParts& parts, const std::filesystem::path& folder);

// Reads them back. Throws Error naming the file that is missing, broken or of another model.
void read_checkpoint(const CheckpointParts& parts, const std::filesystem::path& folder);

}  // namespace lookback
