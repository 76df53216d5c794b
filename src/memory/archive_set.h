// The archives that a sequence retrieves from, as one row of chunks.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "memory/chunk_archive.h"

namespace lookback {

class ArchiveSet {
 public:
  // Its chunks come behind those attached before.
  void attach(std::shared_ptr<const ChunkArchive> archive);

  // Of each archive.
  const std::vector<std::int64_t>& sizes() const { return sizes_; }
  std::int64_t num_chunks() const { return num_chunks_; }

  // As ChunkArchive's, with the chunks of all archives numbered one after another.
  at::ScalarType element_type(std::int64_t index) const;
  std::shared_ptr<const StoredChunk> chunk(std::int64_t index) const;
  void prefetch(std::span<const std::int64_t> chunks) const;

 private:
  std::vector<std::shared_ptr<const ChunkArchive>> archives_;
  std::vector<std::int64_t> sizes_;
  std::int64_t num_chunks_ = 0;
};

}  // namespace lookback
