// The flags of every command that retrieves from stored memories.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "generate/inference_model.h"
#include "ingest/memory_index.h"
#include "memory/stored_memory.h"
#include "retrieval/searched_archive.h"

namespace lookback {

struct MemoryFlags {
  std::vector<std::string> paths;
  std::uint64_t ram_budget_bytes = std::uint64_t{256} << 20U;
  std::uint64_t gpu_budget_bytes = std::uint64_t{1} << 30U;
  std::string search = "exact";
  std::int64_t num_probes = 0;
};

// --memory, --ram-budget, --gpu-budget, --search, --probes. `flags` must live until the command has run.
void add_memory_flags(CLI::App& command, MemoryFlags& flags);

// Memories as sessions take them and as explanations need them.
struct OpenedMemories {
  std::vector<std::string> paths;  // absolute: a session may go on in another folder
  std::vector<std::shared_ptr<const StoredMemory>> stored;
  std::shared_ptr<const MemorySet> set;  // over the tiers and by the search that flags ask for
  std::vector<SearchQuality> qualities;  // of approximate searches
};

// Opens `paths`, which may be others than the flags'. Throws Error as open_memory does.
OpenedMemories open_memories(const std::vector<std::string>& paths, const MemoryFlags& flags,
                             const InferenceModel& opened);

// A line for each approximate search: how good it was measured to be. The same for machines.
std::string search_text(const OpenedMemories& memories);
Json search_json(const OpenedMemories& memories);

}  // namespace lookback
