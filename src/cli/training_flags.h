// The flags of the commands that train, and what is said when they are done.
#pragma once

#include <CLI/CLI.hpp>

#include <memory>
#include <string>

#include "cli/run_config_flags.h"
#include "train/trainer.h"
#include "train/training_run.h"

namespace lookback {

struct TrainingFlags {
  RunPlace place;
  std::shared_ptr<RunConfigFlags> run;
  bool json = false;
  bool quiet = false;

  bool says_what_it_does() const { return !quiet && !json; }
};

// --out, --resume, --from-step, --json, --quiet. `flags` must live until the command has run.
void add_training_flags(CLI::App& command, TrainingFlags& flags);

// A line of RunListener::on_note, on standard error.
void print_note(const std::string& line);

// Says what came out, and ends by CLI::RuntimeError with exit_interrupted after Ctrl-C.
void report_training(const TrainResult& result, const TrainingFlags& flags);

}  // namespace lookback
