// The chunk memory of a sequence: keys, values and landmarks of every finished chunk, in blocks that never move.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>
#include <vector>

#include "memory/archive_set.h"

namespace lookback {

// What a fetch returns: some chunks' keys and values side by side, all of one element type, and where each asked-for
// chunk lies among them.
struct FetchedChunks {
  at::Tensor key, value;                // [U, S, H, D]
  at::Tensor key_scales, value_scales;  // [U, S, H] float32 with int8 (StoredChunk), otherwise undefined
  at::Tensor indices;                   // the shape of the asked-for indices; positions in U, -1 for what is not here
};

// Copies are not made by chance: fork() says what they share.
class ChunkMemory {
 public:
  ChunkMemory() = default;
  ChunkMemory(ChunkMemory&&) = default;
  ChunkMemory& operator=(ChunkMemory&&) = default;
  ChunkMemory(const ChunkMemory&) = delete;
  ChunkMemory& operator=(const ChunkMemory&) = delete;

  // Some chunks, one after another.
  struct Block {
    at::Tensor key, value;  // [C, S, H, D]
    at::Tensor landmarks;   // [C, d]
  };

  // Appends chunks. All appends agree in all sizes but C.
  void append(const Block& chunks);

  std::int64_t num_chunks() const { return num_chunks_; }
  // Of the chunks appended; a block's unused rest, which an operating system lends lazily, is not counted.
  std::int64_t bytes() const;

  // All chunks in their order, as views.
  std::vector<Block> blocks() const;

  // A memory of the same chunks that goes on by itself. What there is now is shared.
  ChunkMemory fork() const;

  // The keys and values of the chunks in indices [...] (-1: none), each distinct one copied once. Chunks are numbered
  // behind those of `archived`. as_stored: archived ones keep their element types, and chunks of different types come
  // apart; otherwise all are widened to this memory's type, and come together. Empty when no chunk is asked for.
  std::vector<FetchedChunks> fetch(const at::Tensor& indices, const ArchiveSet& archived, bool as_stored) const;

 private:
  struct Part {
    Block rows;  // [capacity, ...]
    std::int64_t first_chunk = 0;
    std::int64_t num_chunks = 0;
  };
  const Part& part_of(std::int64_t chunk) const;
  // Of these chunks, ascending, also on the memory's device as `rows`: all but the indices.
  FetchedChunks copy_chunks(std::span<const std::int64_t> chunks, const at::Tensor& rows, const ArchiveSet& archived,
                            at::ScalarType type) const;

  std::vector<Part> parts_;
  bool may_fill_last_ = false;  // false: the last part's rest belongs to the memory that this one was forked from
  std::int64_t num_chunks_ = 0;
};

}  // namespace lookback
