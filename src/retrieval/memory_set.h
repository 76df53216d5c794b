// The stored memories that texts retrieve from beside their own past, as one row of chunks.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "memory/archive_set.h"
#include "retrieval/searched_archive.h"

namespace lookback {

// Made once, when the memories are opened, and shared by all sequences that retrieve from the same ones: those are then
// searched for together. Any number of threads may use it at once.
class MemorySet {
 public:
  explicit MemorySet(std::vector<SearchedArchive> memories);

  const std::vector<SearchedArchive>& memories() const { return memories_; }
  // Chunks are numbered one memory after another.
  const ArchiveSet& archives() const { return archives_; }
  std::int64_t num_chunks() const { return archives_.num_chunks(); }

  // The best top_k chunks of each memory for each query [C, d], side by side.
  BestChunks best_of_each(const at::Tensor& query, std::int64_t top_k) const;

 private:
  std::vector<SearchedArchive> memories_;
  ArchiveSet archives_;
};

// Of these memories; nullptr where there are none, which is what a sequence without memories has.
std::shared_ptr<const MemorySet> make_memory_set(std::vector<SearchedArchive> memories);

}  // namespace lookback
