#include "retrieval/memory_set.h"

#include <utility>

namespace lookback {

MemorySet::MemorySet(std::vector<SearchedArchive> memories) : memories_(std::move(memories)) {
  for (const SearchedArchive& memory : memories_) archives_.attach(memory.archive);
}

BestChunks MemorySet::best_of_each(const at::Tensor& query, std::int64_t top_k) const {
  std::vector<at::Tensor> scores;
  std::vector<at::Tensor> indices;
  std::int64_t first_chunk = 0;
  for (std::size_t i = 0; i < memories_.size(); ++i) {
    const BestChunks best = memories_[i].index->best(query, top_k);
    scores.push_back(best.scores);
    indices.push_back(at::where(best.indices.ge(0), best.indices + first_chunk, best.indices));
    first_chunk += archives_.sizes()[i];
  }
  return {at::cat(scores, 1), at::cat(indices, 1)};
}

std::shared_ptr<const MemorySet> make_memory_set(std::vector<SearchedArchive> memories) {
  return memories.empty() ? nullptr : std::make_shared<const MemorySet>(std::move(memories));
}

}  // namespace lookback
