// The flags that stand for keys of a run's configuration, shared by the commands that read one.
#pragma once

#include <CLI/CLI.hpp>

#include <memory>
#include <optional>
#include <string>

#include "core/json.h"
#include "train/run_config.h"

namespace lookback {

// What a command line says about a run: a file, and keys that go over the file's.
struct RunConfigFlags {
  std::string config_path;
  Json overrides = {{"model", Json::object()}, {"train", Json::object()}, {"data", Json::object()}};

  // The file's keys (none without a file) under the flags'. Throws Error naming the file.
  Json given() const;
  std::string source() const { return config_path.empty() ? "command line" : config_path; }
};

// Adds a flag for each common key of [train], whatever the run is about. The result fills as the line is parsed.
std::shared_ptr<RunConfigFlags> add_train_key_flags(CLI::App& command);

// Adds these and what a run on prepared text has: --config, --data, --valid, --context, --init.
std::shared_ptr<RunConfigFlags> add_run_config_flags(CLI::App& command);

}  // namespace lookback
