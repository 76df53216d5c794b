// One function a command: adds its flags to the program and its work as the subcommand's callback.
// To add a command: one file here, one declaration, one line in main.cpp.
#pragma once

#include <CLI/CLI.hpp>

namespace lookback {

void add_prepare_command(CLI::App& app);

}  // namespace lookback
