// The inverted index of retrieval: which queries read a stored chunk.
#pragma once

#include <cstdint>

namespace lookback {

// For stored chunk e of sequence n: reads[offsets[n E + e]] up to reads[offsets[n E + e + 1]], ascending; a read is
// c * K + k, the place in that sequence's indices.
struct ChunkReaders {
  const std::int64_t* offsets = nullptr;  // [N * E + 1]
  const std::int64_t* reads = nullptr;    // [at most N * C * K]
};

// Fills offsets [num_sequences * stored_chunks + 1] and reads [num_sequences * reads_each] from
// indices [num_sequences, reads_each] (-1: nothing) by a counting sort.
void list_chunk_readers(const std::int64_t* indices, std::int64_t num_sequences, std::int64_t reads_each,
                        std::int64_t stored_chunks, std::int64_t* offsets, std::int64_t* reads);

}  // namespace lookback
