#include "memory/chunk_cache.h"

namespace lookback {

bool ChunkCache::find(const ChunkArchive& archive, std::int64_t chunk, at::Tensor& key, at::Tensor& value) {
  // Entries are never written to: what is found is copied while others look.
  at::Tensor found_key;
  at::Tensor found_value;
  {
    const std::scoped_lock lock(mutex_);
    const auto found = places_.find({archive.id(), chunk});
    if (found == places_.end()) return false;
    entries_.splice(entries_.begin(), entries_, found->second);
    found_key = found->second->key;
    found_value = found->second->value;
  }
  key.copy_(found_key);
  value.copy_(found_value);
  return true;
}

bool ChunkCache::contains(const ChunkArchive& archive, std::int64_t chunk) const {
  const std::scoped_lock lock(mutex_);
  return places_.contains({archive.id(), chunk});
}

void ChunkCache::insert(const ChunkArchive& archive, std::int64_t chunk, const at::Tensor& key,
                        const at::Tensor& value) {
  if (static_cast<std::int64_t>(key.nbytes() + value.nbytes()) > budget_bytes_) return;
  Entry entry{{archive.id(), chunk},
              key.to(device_, key.scalar_type(), false, /*copy=*/true),
              value.to(device_, value.scalar_type(), false, /*copy=*/true)};
  const std::scoped_lock lock(mutex_);
  // Another thread may have been faster.
  if (places_.contains(entry.place)) return;
  bytes_ += entry.bytes();
  entries_.push_front(std::move(entry));
  places_[entries_.front().place] = entries_.begin();
  while (bytes_ > budget_bytes_) {
    bytes_ -= entries_.back().bytes();
    places_.erase(entries_.back().place);
    entries_.pop_back();
  }
}

std::int64_t ChunkCache::bytes() const {
  const std::scoped_lock lock(mutex_);
  return bytes_;
}

void CachedArchive::read(std::int64_t chunk, at::Tensor& key, at::Tensor& value) const {
  if (cache_->find(*archive_, chunk, key, value)) return;
  archive_->read(chunk, key, value);
  cache_->insert(*archive_, chunk, key, value);
}

void CachedArchive::prefetch(std::span<const std::int64_t> chunks) const {
  std::vector<std::int64_t> missing;
  for (const std::int64_t chunk : chunks) {
    if (!cache_->contains(*archive_, chunk)) missing.push_back(chunk);
  }
  if (!missing.empty()) archive_->prefetch(missing);
}

}  // namespace lookback
