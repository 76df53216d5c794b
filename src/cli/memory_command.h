// The commands under `lookback memory` that have a file of their own.
#pragma once

#include <CLI/CLI.hpp>

namespace lookback {

void add_memory_index_command(CLI::App& memory);

}  // namespace lookback
