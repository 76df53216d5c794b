// The flags of every command that opens a trained model.
#pragma once

#include <CLI/CLI.hpp>

#include <string>

#include "lookback/language_model.h"

namespace lookback {

struct InferenceFlags {
  std::string model;
  ModelOptions options;
};

// --model, --device, --dtype, --threads. `flags` must live until the command has run.
void add_inference_flags(CLI::App& command, InferenceFlags& flags);

// Of tensor operations, and of work that is divided among threads of our own.
int thread_count(const InferenceFlags& flags);

// Sets the number of threads and opens the model.
LanguageModel open_model(const InferenceFlags& flags);

}  // namespace lookback
