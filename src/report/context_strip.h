// A long context as one horizontal strip, with the places that matter marked on it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lookback {

struct StripMark {
  std::int64_t chunk_index = 0;
  double weight = 0;    // in [0, 1]: the height of its column
  bool needle = false;  // drawn in the colour of what was sought
  std::string label;
};

struct ContextStrip {
  std::string title;
  std::int64_t num_chunks = 0;
  std::int64_t chunk_size = 0;       // text tokens of a chunk
  std::int64_t question_chunk = 0;   // where the question stands
  std::int64_t training_length = 0;  // tokens, drawn as a bracket for comparison
  std::vector<StripMark> marks = {};
};

// A complete SVG document. Throws Error when a chunk lies outside the strip.
std::string context_strip_svg(const ContextStrip& strip);

}  // namespace lookback
