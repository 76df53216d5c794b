// What all that trains has in common: a run folder that is begun or gone on with, and the training itself.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "data/token_batch.h"
#include "lookback/stop.h"
#include "text/tokenizer.h"
#include "train/run_config.h"
#include "train/trainer.h"

namespace lookback {

struct RunPlace {
  std::string command;  // that its runs belong to, train or finetune: one does not go on with the other's
  std::string out;      // the run's folder
  bool resume = false;
  std::optional<std::int64_t> from_step;  // of a checkpoint to resume from, instead of the last

  std::string config_path() const { return out + "/config.toml"; }
};

// Whom to tell; each may be empty.
struct RunListener {
  std::function<void(const std::string&)> on_warning;  // of what will be slow
  std::function<void(const std::string&)> on_note;     // lines for people, before the first step
  std::function<void(const StepMetrics&)> on_step;
  bool live_line = false;  // on standard error
};

// The configuration that --resume goes on with; an empty object for a new run. Throws Error when there is none in
// place.out, or, for a new run, when there is one.
Json read_run_before(const RunPlace& place);

// Checks what the configuration expects of the data, and writes down what it is.
void settle_data(RunConfig& config, const std::string& tokenizer_fingerprint, std::int64_t num_tokens);

// Where the run that --resume goes on with has its tokenizer and weights; nothing when it has saved nothing yet.
std::optional<std::filesystem::path> resumed_checkpoint(const RunPlace& place);

// The validation data of a run whose data has moved from `data_before` to `data_now`, when nothing says where it lies
// now: at the same place beside the data if it is there, else where it was. Empty stays empty.
std::string moved_validation(const std::string& valid, const std::string& data_before, const std::string& data_now);

// Throws Error naming the settings that would alter the course of the run that --resume goes on with.
void check_same_course(const Json& before, const RunConfig& config, const RunPlace& place);

struct TrainingData {
  std::unique_ptr<BatchSource> batches;
  std::vector<TokenBatch> validation;  // none: nothing is validated
  const Tokenizer& tokenizer;
};

// Makes the model, writes config.toml, trains. Sets the number of threads of tensor operations in the whole process.
TrainResult run_training(const RunPlace& place, const RunConfig& config, TrainingData data, const RunListener& listener,
                         const StopToken& stop);

}  // namespace lookback
