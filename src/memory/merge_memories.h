// Several memories as one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "core/stop.h"

namespace lookback {

struct MergeResult {
  bool interrupted = false;        // the same call goes on
  std::int64_t num_documents = 0;  // copied
  std::int64_t num_known = 0;      // that were there already
};

// Copies all documents of `sources` into `out`, which is made or added to, as they are: nothing is read anew. Committed
// every few hundred MiB. on_progress (may be empty) is told the chunks done of all, then `stop` is asked. Throws Error
// for memories of different models, tokenizers or element types, two different documents of one name, and as
// StoredMemory and MemoryWriter do.
MergeResult merge_memories(const std::vector<std::filesystem::path>& sources, const std::filesystem::path& out,
                           const std::function<void(std::int64_t done, std::int64_t total)>& on_progress,
                           const StopToken& stop = {});

}  // namespace lookback
