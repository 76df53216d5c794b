#include "memory/chunk_cache.h"

namespace lookback {

std::shared_ptr<const StoredChunk> ChunkCache::find(const ChunkArchive& archive, std::int64_t index) {
  const std::scoped_lock lock(mutex_);
  const auto found = places_.find({archive.id(), index});
  if (found == places_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->chunk;
}

bool ChunkCache::contains(const ChunkArchive& archive, std::int64_t index) const {
  const std::scoped_lock lock(mutex_);
  return places_.contains({archive.id(), index});
}

void ChunkCache::insert(const ChunkArchive& archive, std::int64_t index, std::shared_ptr<const StoredChunk> chunk) {
  const std::int64_t chunk_bytes = chunk->bytes();
  if (chunk_bytes > budget_bytes_) return;
  const Place place{archive.id(), index};
  const std::scoped_lock lock(mutex_);
  // Another thread may have been faster.
  if (places_.contains(place)) return;
  bytes_ += chunk_bytes;
  entries_.push_front({place, std::move(chunk)});
  places_[place] = entries_.begin();
  while (bytes_ > budget_bytes_) {
    bytes_ -= entries_.back().chunk->bytes();
    places_.erase(entries_.back().place);
    entries_.pop_back();
  }
}

std::int64_t ChunkCache::bytes() const {
  const std::scoped_lock lock(mutex_);
  return bytes_;
}

std::shared_ptr<const StoredChunk> CachedArchive::chunk(std::int64_t index) const {
  std::shared_ptr<const StoredChunk> chunk = cache_->find(*archive_, index);
  if (chunk != nullptr) return chunk;
  chunk = archive_->chunk(index);
  if (chunk->key.device() != cache_->device()) {
    chunk = std::make_shared<const StoredChunk>(chunk->to(cache_->device()));
  }
  cache_->insert(*archive_, index, chunk);
  return chunk;
}

void CachedArchive::prefetch(std::span<const std::int64_t> chunks) const {
  std::vector<std::int64_t> missing;
  for (const std::int64_t chunk : chunks) {
    if (!cache_->contains(*archive_, chunk)) missing.push_back(chunk);
  }
  if (!missing.empty()) archive_->prefetch(missing);
}

}  // namespace lookback
