// One long text with many needles in it, and a question about each: what a stored memory is asked.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/random.h"
#include "data/needle_task.h"

namespace lookback {

struct NeedleLibraryShape {
  std::int64_t chunk_size = 31;
  std::int64_t length = 16'000'000;  // tokens, cut down to whole chunks
  std::int64_t num_needles = 50;     // of the demo's task, one in each equal part of the text
};

struct NeedleLibrary {
  std::vector<std::int64_t> ids;
  // In the order of their needles. A prompt is some text, the question at a chunk's end and the first token of the next
  // chunk; needle_begins and needle_ends count in `ids`, depth is the needle's part of them.
  std::vector<NeedleSample> questions;
};

// ids are bytes. No answer occurs anywhere but in its needle (checked; drawn again otherwise). Throws Error when the
// needles have no room, when the haystack is empty, and when ten draws all failed.
NeedleLibrary make_needle_library(std::span<const std::int64_t> haystack, const NeedleLibraryShape& shape,
                                  Random& random);

}  // namespace lookback
