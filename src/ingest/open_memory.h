// Opens memories for a model: files, tiers over them and the search, as one set that texts share.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "lookback/memories.h"
#include "memory/stored_memory.h"
#include "models/model.h"
#include "retrieval/memory_set.h"
#include "text/tokenizer.h"

namespace lookback {

// fingerprint: the model's (model_fingerprint). tokenizer: nullptr when the model has none. visit_landmarks: as
// StoredMemory's. Throws Error naming what the memory was made with when that is another model or tokenizer, and as
// StoredMemory does.
std::shared_ptr<const StoredMemory> open_memory(const std::filesystem::path& path, const Model& model,
                                                const std::string& fingerprint, const Tokenizer* tokenizer,
                                                const StoredMemory::LandmarkVisitor& visit_landmarks = {});

// What texts retrieve from, and what explains where they found it.
struct OpenedMemories {
  std::vector<std::string> paths;  // absolute: a session may go on in another folder
  std::vector<std::shared_ptr<const StoredMemory>> stored;
  std::shared_ptr<const MemorySet> set;  // over the tiers; nullptr without memories
  std::vector<SearchQuality> qualities;  // of approximate searches
};

// The memories at these paths, in this order, for sequences of this model; any number of them may share the set, from
// several threads. Throws Error as open_memory and open_memory_index do.
OpenedMemories open_memories(const std::vector<std::string>& paths, const MemoryOptions& options, const Model& model,
                             const std::string& fingerprint, const Tokenizer* tokenizer);

}  // namespace lookback
