// The flags of every command that retrieves from stored memories.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "generate/inference_model.h"
#include "ingest/open_memory.h"

namespace lookback {

struct MemoryFlags {
  std::vector<std::string> paths;
  std::uint64_t ram_budget_bytes = MemoryOptions().ram_budget_bytes;
  std::uint64_t gpu_budget_bytes = MemoryOptions().gpu_budget_bytes;
  std::string search = "exact";
  std::int64_t num_probes = 0;
};

// --memory, --ram-budget, --gpu-budget, --search, --probes. `flags` must live until the command has run.
void add_memory_flags(CLI::App& command, MemoryFlags& flags);

// Opens `paths`, which may be others than the flags'. Throws Error as the other open_memories does.
OpenedMemories open_memories(const std::vector<std::string>& paths, const MemoryFlags& flags,
                             const InferenceModel& opened);

// A line for each approximate search: how good it was measured to be. The same for machines.
std::string search_text(const OpenedMemories& memories);
Json search_json(const OpenedMemories& memories);

}  // namespace lookback
