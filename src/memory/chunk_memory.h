// The chunk memory of a session: keys, values and landmarks of every finished chunk, in blocks that never move.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

namespace lookback {

// What a fetch returns: some chunks' keys and values side by side, and where each asked-for chunk lies among them.
struct FetchedChunks {
  at::Tensor key, value;  // [N, U, S, H, D]
  at::Tensor indices;     // the shape of the asked-for indices; positions in U, -1 stays -1
};

class ChunkMemory {
 public:
  // Appends chunks: key, value [N, C, S, H, D], landmarks [N, C, d]. All appends agree in all sizes but C.
  void append(const at::Tensor& key, const at::Tensor& value, const at::Tensor& landmarks);

  std::int64_t num_chunks() const { return num_chunks_; }
  // Of the chunks held; the last block's unused rest, which an operating system lends lazily, is not counted.
  std::int64_t bytes() const;

  // All landmarks [N, E, d], E = num_chunks() >= 1.
  at::Tensor landmarks() const;

  // The keys and values of the chunks in indices [N, ...] (-1: none); each distinct chunk is copied once.
  FetchedChunks fetch(const at::Tensor& indices) const;

 private:
  struct Block {
    at::Tensor key, value, landmarks;  // [N, chunks_a_block, ...]
  };
  std::vector<Block> blocks_;
  std::int64_t num_chunks_ = 0;
};

}  // namespace lookback
