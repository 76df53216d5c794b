// A tier of chunk memory: chunks of slower archives kept on a device as they are stored, within a budget; the least
// recently used make way. Chunks only go up: from a file to RAM, from there to a GPU, where they stay; nothing comes
// down again. As stored chunks it has not run on a GPU yet.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "memory/chunk_archive.h"

namespace lookback {

// What several archives share. May be used from several threads at once.
class ChunkCache {
 public:
  // budget_bytes: of chunks as they are stored; 0 keeps nothing.
  ChunkCache(at::Device device, std::int64_t budget_bytes) : device_(device), budget_bytes_(budget_bytes) {}

  at::Device device() const { return device_; }

  // That archive's chunk, which becomes the last to go; nullptr when it is not here.
  std::shared_ptr<const StoredChunk> find(const ChunkArchive& archive, std::int64_t index);
  bool contains(const ChunkArchive& archive, std::int64_t index) const;
  // chunk: on the cache's device.
  void insert(const ChunkArchive& archive, std::int64_t index, std::shared_ptr<const StoredChunk> chunk);

  std::int64_t bytes() const;

 private:
  using Place = std::pair<std::uint64_t, std::int64_t>;  // archive's id, chunk
  struct Entry {
    Place place;
    std::shared_ptr<const StoredChunk> chunk;
  };

  at::Device device_;
  std::int64_t budget_bytes_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // the last used first
  std::map<Place, std::list<Entry>::iterator> places_;
  std::int64_t bytes_ = 0;
};

// An archive whose chunks are looked for in a cache first. Caches may lie over one another: one on a GPU over one in
// RAM over a file.
class CachedArchive : public ChunkArchive {
 public:
  CachedArchive(std::shared_ptr<const ChunkArchive> archive, std::shared_ptr<ChunkCache> cache)
      : archive_(std::move(archive)), cache_(std::move(cache)) {}

  std::int64_t num_chunks() const override { return archive_->num_chunks(); }
  at::Tensor landmarks() const override { return archive_->landmarks(); }
  at::ScalarType element_type() const override { return archive_->element_type(); }
  // On the cache's device.
  std::shared_ptr<const StoredChunk> chunk(std::int64_t index) const override;
  // Of those that the cache does not have.
  void prefetch(std::span<const std::int64_t> chunks) const override;

 private:
  std::shared_ptr<const ChunkArchive> archive_;
  std::shared_ptr<ChunkCache> cache_;
};

}  // namespace lookback
