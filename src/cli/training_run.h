// What the commands that train have in common: a run folder that is begun or gone on with, the training itself, and
// what is said of it.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/run_config_flags.h"
#include "core/json.h"
#include "core/stop.h"
#include "data/token_batch.h"
#include "text/tokenizer.h"
#include "train/run_config.h"

namespace lookback {

struct TrainingFlags {
  std::string command;  // its name, for messages
  std::shared_ptr<RunConfigFlags> run;
  std::string out;
  bool resume = false;
  std::int64_t from_step = -1;  // of a checkpoint to resume from; -1: the last
  bool json = false;
  bool quiet = false;

  std::string config_path() const { return out + "/config.toml"; }
};

// --out, --resume, --json, --quiet. `flags` must live until the command has run.
void add_training_flags(CLI::App& command, TrainingFlags& flags);

// The configuration that --resume goes on with; an empty object for a new run. Throws Error when there is none in
// --out, or, for a new run, when there is one.
Json read_run_before(const TrainingFlags& flags);

// Checks what the configuration expects of the data, and writes down what it is.
void settle_data(RunConfig& config, const std::string& tokenizer_fingerprint, std::int64_t num_tokens);

// Where the run that --resume goes on with has its tokenizer and weights; nothing when it has saved nothing yet.
std::optional<std::filesystem::path> resumed_checkpoint(const TrainingFlags& flags);

// The validation data of a run whose data has moved from `data_before` to `data_now`, when nothing says where it lies
// now: at the same place beside the data if it is there, else where it was. Empty stays empty.
std::string moved_validation(const std::string& valid, const std::string& data_before, const std::string& data_now);

// Throws Error naming the settings that would alter the course of the run that --resume goes on with.
void check_same_course(const Json& before, const RunConfig& config, const TrainingFlags& flags);

struct TrainingData {
  std::unique_ptr<BatchSource> batches;
  std::vector<TokenBatch> validation;  // none: nothing is validated
  const Tokenizer& tokenizer;
};

// Makes the model, writes config.toml, trains, reports. Ends by CLI::RuntimeError with exit_interrupted when asked to
// stop.
void run_training(const TrainingFlags& flags, const RunConfig& config, TrainingData data, const StopToken& stop);

}  // namespace lookback
