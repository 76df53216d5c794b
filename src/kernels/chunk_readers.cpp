#include "kernels/chunk_readers.h"

#include <algorithm>

namespace lookback {

void list_chunk_readers(const std::int64_t* indices, std::int64_t num_sequences, std::int64_t reads_each,
                        std::int64_t stored_chunks, std::int64_t* offsets, std::int64_t* reads) {
  const std::int64_t num_places = num_sequences * stored_chunks;
  std::fill_n(offsets, num_places + 1, 0);
  // Counts, one place late so that their running sum gives the beginnings.
  for (std::int64_t i = 0; i < num_sequences * reads_each; ++i) {
    if (indices[i] >= 0) ++offsets[i / reads_each * stored_chunks + indices[i] + 1];
  }
  for (std::int64_t place = 0; place < num_places; ++place) offsets[place + 1] += offsets[place];
  for (std::int64_t i = 0; i < num_sequences * reads_each; ++i) {
    if (indices[i] >= 0) reads[offsets[i / reads_each * stored_chunks + indices[i]]++] = i % reads_each;
  }
  // Each beginning has moved to its end, which is the next one's beginning.
  for (std::int64_t place = num_places; place > 0; --place) offsets[place] = offsets[place - 1];
  offsets[0] = 0;
}

}  // namespace lookback
