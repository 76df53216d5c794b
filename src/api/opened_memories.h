// What a Memories is a handle of.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lookback/memories.h"
#include "memory/stored_memory.h"
#include "retrieval/memory_set.h"

namespace lookback {

struct OpenedMemories {
  std::vector<std::string> files;  // absolute: a session may go on in another folder
  std::vector<std::shared_ptr<const StoredMemory>> stored;
  std::shared_ptr<const MemorySet> set;  // over the tiers and by the search that was asked for; nullptr: no memories
  std::vector<SearchQuality> qualities;  // of approximate searches
};

}  // namespace lookback
