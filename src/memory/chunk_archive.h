// Chunks that were read before, wherever they lie: what a sequence retrieves from beside its own.
#pragma once

#include <ATen/ATen.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "memory/stored_chunk.h"

namespace lookback {

class ChunkArchive {
 public:
  ChunkArchive() : id_(next_id()) {}
  virtual ~ChunkArchive() = default;
  ChunkArchive(const ChunkArchive&) = delete;
  ChunkArchive& operator=(const ChunkArchive&) = delete;

  // No other archive of the process has or had this number: what is kept of an archive's chunks is kept under it, not
  // under an address, at which another archive may lie later.
  std::uint64_t id() const { return id_; }

  virtual std::int64_t num_chunks() const = 0;

  // Of all chunks [E, d], float32 on the CPU.
  virtual at::Tensor landmarks() const = 0;

  // Of all chunks' keys and values.
  virtual at::ScalarType element_type() const = 0;

  // The keys and values of a chunk, 0 <= index < num_chunks(), as they are stored. Throws Error when what is stored is
  // damaged. May be called from several threads at once.
  virtual std::shared_ptr<const StoredChunk> chunk(std::int64_t index) const = 0;

  // Says that these chunks will be read soon; returns at once.
  virtual void prefetch(std::span<const std::int64_t> /*chunks*/) const {}

 private:
  static std::uint64_t next_id() {
    static std::atomic<std::uint64_t> last = 0;
    return ++last;
  }

  std::uint64_t id_;
};

// Chunks of several archives, of these sizes, are numbered one after another. `archive` is their number, and `chunk`
// counts from 0 again, for a chunk behind all of them.
struct ArchivedChunk {
  std::size_t archive = 0;
  std::int64_t chunk = 0;
};

inline ArchivedChunk locate_chunk(std::span<const std::int64_t> sizes, std::int64_t chunk) {
  ArchivedChunk place{0, chunk};
  while (place.archive < sizes.size() && place.chunk >= sizes[place.archive]) place.chunk -= sizes[place.archive++];
  return place;
}

}  // namespace lookback
