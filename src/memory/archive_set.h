// The archives that a session's sequences retrieve from, as one row of chunks.
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
  explicit ArchiveSet(at::Device device) : device_(device) {}

  // Its chunks come behind those attached before.
  void attach(std::shared_ptr<const ChunkArchive> archive);

  std::span<const std::shared_ptr<const ChunkArchive>> archives() const { return archives_; }
  std::int64_t num_chunks() const { return num_chunks_; }
  // [E_i, d] of each archive that has chunks, float32 on the device.
  const std::vector<at::Tensor>& landmarks() const { return landmarks_; }

  // As ChunkArchive's, with the chunks of all archives numbered one after another.
  void read(std::int64_t chunk, at::Tensor& key, at::Tensor& value) const;
  void prefetch(std::span<const std::int64_t> chunks) const;

 private:
  at::Device device_;
  std::vector<std::shared_ptr<const ChunkArchive>> archives_;
  std::vector<at::Tensor> landmarks_;
  std::int64_t num_chunks_ = 0;
};

}  // namespace lookback
