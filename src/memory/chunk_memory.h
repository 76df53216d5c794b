// The chunk memory of a session: keys, values and landmarks of every finished chunk, in blocks that never move.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "memory/chunk_archive.h"

namespace lookback {

// What a fetch returns: some chunks' keys and values side by side, and where each asked-for chunk lies among them.
struct FetchedChunks {
  at::Tensor key, value;  // [N, U, S, H, D]
  at::Tensor indices;     // the shape of the asked-for indices; positions in U, -1 stays -1
};

class ChunkMemory {
 public:
  // Chunks read before, which come before all that is appended. Only while the memory holds no chunk of its own;
  // several archives follow one another. Every sequence retrieves from them.
  void attach(std::shared_ptr<const ChunkArchive> archive);

  // Appends chunks: key, value [N, C, S, H, D], landmarks [N, C, d]. All appends agree in all sizes but C.
  void append(const at::Tensor& key, const at::Tensor& value, const at::Tensor& landmarks);

  // Those of the archives included.
  std::int64_t num_chunks() const { return num_archived_ + num_own_; }
  // Of the chunks appended; the last block's unused rest, which an operating system lends lazily, is not counted.
  std::int64_t bytes() const;

  // All landmarks in their order, in parts [N, E_i, d] whose sizes E_i sum up to num_chunks(). Those of archives are
  // float32, on the device of the chunks appended, of which there must be some, and not copied for each call.
  std::vector<at::Tensor> landmarks() const;

  // The keys and values of the chunks in indices [N, ...] (-1: none); each distinct chunk is copied once.
  FetchedChunks fetch(const at::Tensor& indices) const;

 private:
  struct Block {
    at::Tensor key, value, landmarks;  // [N, chunks_a_block, ...]
  };
  void fetch_archived(std::int64_t chunk, std::vector<at::Tensor>& keys, std::vector<at::Tensor>& values) const;

  std::vector<std::shared_ptr<const ChunkArchive>> archives_;
  std::vector<at::Tensor> archived_landmarks_;  // [1, E_i, d], once the device is known
  std::int64_t num_archived_ = 0;
  std::vector<Block> blocks_;
  std::int64_t num_own_ = 0;
};

}  // namespace lookback
