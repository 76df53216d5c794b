// Approximate search of a stored memory: lists of its landmarks in a file beside it, and how much of what the exact
// search finds they find.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/json.h"
#include "lookback/memories.h"
#include "lookback/stop.h"
#include "memory/stored_memory.h"
#include "models/model.h"
#include "retrieval/landmark_index.h"

namespace lookback {

struct MemoryIndexConfig {
  std::int64_t num_lists = 0;  // 0: 4 sqrt(chunks)
  std::uint64_t seed = 0;
  // Queries are the model's own, as it reads that many pieces of the memory's text, evenly apart.
  std::int64_t num_pieces = 32;
  std::int64_t piece_chunks = 16;
};

struct MemoryIndexReport {
  std::int64_t num_chunks = 0, num_lists = 0, num_queries = 0, top_k = 0;
  double cluster_seconds = 0;
  double exact_seconds = 0;             // a query of the exact search
  std::vector<SearchQuality> searches;  // by num_probes: 1, 2, 4, ...
  std::int64_t num_probes = 0;          // the fewest with a recall of 95%; else those of the best recall
};

Json to_json(const SearchQuality& search);
Json to_json(const MemoryIndexReport& report);

// The file of a memory's lists.
std::filesystem::path memory_index_path(const std::filesystem::path& memory);

// Finds lists, measures them with `model`, whose memory it is, and writes the file. on_step (may be empty) is called
// now and then, with what begins; then `stop` is asked. Throws Interrupted when asked to stop, and nothing is written;
// Error as cluster_landmarks does, for fewer than 1,000 chunks, and when the file cannot be written.
MemoryIndexReport build_memory_index(const StoredMemory& memory, const Model& model, const MemoryIndexConfig& config,
                                     const std::function<void(const char* step)>& on_step, const StopToken& stop = {});

// The search and how good it was measured to be.
struct OpenedMemoryIndex {
  std::shared_ptr<const LandmarkIndex> index;
  SearchQuality quality;  // of the largest measured number of probes that is not larger than its own
};

// fingerprint: of all the memory's landmarks (LandmarksFingerprint). num_probes: 0 takes the report's. Throws Error
// naming the file when it is missing, damaged, or made before the memory changed.
OpenedMemoryIndex open_memory_index(const StoredMemory& memory, const std::string& fingerprint,
                                    std::int64_t num_probes);

}  // namespace lookback
