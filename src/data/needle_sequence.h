// The demo's text: sentences of common words, needles |key fox is 48213| and questions |What is key fox? It
// is.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/random.h"

namespace lookback {

// Digits of a needle's value.
inline constexpr std::int64_t needle_value_length = 5;

// `num_bytes` of sentences of 5 to 12 words; a word of rank r is drawn with probability ~ 1 / (r + 8).
std::string make_sentences(std::int64_t num_bytes, Random& random);

struct NeedleSequenceShape {
  std::int64_t chunk_size = 31;
  std::int64_t num_chunks = 16;
  std::int64_t num_needles = 6;
  std::int64_t num_questions = 5;
  std::int64_t num_empty_chunks = 0;  // before the first question, without needles
  // Where the needle of the first question lies: 0 in the first chunk, 1 in the last that may hold one;
  // negative: anywhere.
  double depth = -1;
  // Question q asks for a needle in the q-th of num_needles equal parts of the text; as many questions as needles.
  bool spread = false;
};

// One training sequence; ids are bytes.
struct NeedleSequence {
  std::vector<std::int64_t> ids;            // [num_chunks * chunk_size]
  std::vector<std::int64_t> answer_begins;  // of each question: position of the first digit of its answer
  std::vector<std::int64_t> needle_begins;  // of each question: position of the needle that answers it
};

// A piece of `haystack` (bytes as ids; repeated when shorter than the sequence) in which each needle
// overwrites a chunk's text at a random place of its own chunk. Question q ends exactly at a chunk's end; the
// next chunk starts with its answer, ` 48213|`. The pairs of chunks lie at the end. No key occurs twice; a
// needle may be asked for twice only when there are more questions than needles. Throws Error when the chunks
// have no room.
NeedleSequence make_needle_sequence(std::span<const std::int64_t> haystack, const NeedleSequenceShape& shape,
                                    Random& random);

// Throws Error naming what does not fit.
void check_needle_shape(const NeedleSequenceShape& shape);

}  // namespace lookback
