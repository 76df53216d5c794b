// The flags of every command that retrieves from stored memories.
#pragma once

#include <CLI/CLI.hpp>

#include <filesystem>
#include <string>
#include <vector>

#include "core/json.h"
#include "lookback/memories.h"

namespace lookback {

struct MemoryFlags {
  std::vector<std::filesystem::path> files;
  MemoryOptions options;
};

// --memory, --ram-budget, --gpu-budget, --search, --probes. `flags` must live until the command has run.
void add_memory_flags(CLI::App& command, MemoryFlags& flags);

// A line for each approximate search: how good it was measured to be. The same for machines.
std::string search_text(const Memories& memories);
Json search_json(const Memories& memories);

}  // namespace lookback
