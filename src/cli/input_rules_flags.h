// The flags that say which files are texts, and which of them are one document.
#pragma once

#include <CLI/CLI.hpp>

#include <string>

#include "data/input_files.h"

namespace lookback {

struct InputRulesFlags {
  std::string text_extensions;  // "py,h"
  bool group_by_folder = false;
};

void add_input_rules(CLI::App& command, InputRulesFlags& flags);

// Throws Error naming the flag.
InputRules read_input_rules(const InputRulesFlags& flags);

}  // namespace lookback
