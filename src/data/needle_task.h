// Samples of needle-in-a-haystack tasks: random token strings inserted into text, a question at its end, and
// the answer that only who found the needle can give.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/random.h"
#include "text/tokenizer.h"

namespace lookback {

enum class NeedleKind {
  single,     // `|The passkey is:` value `|`; asked `|What is the passkey? The passkey is`
  multi,      // six of `|One of the special magic numbers for ` key ` is ` value `|`, one of them asked for
  multi_hop,  // two chains of two links `|DEF` a `->` b `|`, shuffled; asked `|The path from` v0 `is` v1 `,` v2
  recipe,     // `|key fox is 48213|`, the demo's task; ids are bytes
};

// "single", "multi", "multi-hop", "recipe". Throws Error listing them.
NeedleKind parse_needle_kind(const std::string& text);
std::string to_string(NeedleKind kind);

struct NeedleTask {
  NeedleKind kind = NeedleKind::single;
  std::int64_t chunk_size = 63;  // S, to which questions are aligned
  std::int64_t length = 4096;    // tokens of the sample, cut down to whole chunks
  // Of the first needle asked for: 0 at the beginning, 1 at the last place a needle may have; negative: drawn.
  double depth = -1;
  // recipe only: needles in the text, and chunks without any before the question.
  std::int64_t num_needles = 6;
  std::int64_t num_empty_chunks = 6;
};

// The question's last token is the first one of the last chunk: the retrieval made at the end of the chunk
// before serves the answer (docs/evaluation.md).
struct NeedleSample {
  std::vector<std::int64_t> prompt_ids;     // [(num_chunks - 1) * chunk_size + 1]
  std::vector<std::int64_t> answer_ids;     // what follows
  std::vector<std::int64_t> needle_begins;  // position of each needle asked for, in the order of the hops
  std::vector<std::int64_t> needle_ends;    // one past its last token
  double depth = 0;                         // of the first needle, as placed
};

// Makes samples of one task. Holds references: haystack and tokenizer must outlive it.
class NeedleGenerator {
 public:
  // `haystack`: token ids of text, repeated when shorter than a sample. Throws Error when the length has no
  // room for needles and question, when the haystack is empty, when there are too few ids to draw from, and
  // (recipe) when the tokenizer's ids are not bytes.
  NeedleGenerator(const NeedleTask& task, std::span<const std::int64_t> haystack, const Tokenizer& tokenizer);

  // The sample depends on the task, the haystack and the state of `random` only. Outside of the needles asked
  // for, no four tokens in a row of the answer occur in the prompt (checked; drawn again otherwise). Throws
  // Error when a hundred draws all failed.
  NeedleSample make(Random& random) const;

 private:
  // A needle or question before it has a place.
  struct Draft {
    std::vector<std::vector<std::int64_t>> needles;
    std::vector<std::size_t> asked;  // indices into needles, in the order of the hops
    std::vector<std::int64_t> question;
    std::vector<std::int64_t> answer;
  };

  Draft draw(Random& random) const;
  NeedleSample place(const Draft& draft, Random& random) const;
  NeedleSample make_recipe(Random& random) const;
  std::vector<std::int64_t> random_ids(std::size_t count, Random& random) const;
  std::vector<std::int64_t> encode(const std::string& text) const;
  std::int64_t num_chunks() const { return task_.length / task_.chunk_size; }

  NeedleTask task_;
  std::span<const std::int64_t> haystack_;
  const Tokenizer& tokenizer_;
  std::vector<std::int64_t> drawable_ids_;  // of which keys and values are made
};

// Whether the tokenizer's ids are a text's bytes, which the recipe's texts are made of.
bool ids_are_bytes(const Tokenizer& tokenizer);

// Whether any `run_length` tokens in a row of `answer` (all of it, when shorter) occur in `ids` outside of the
// ranges [begins[i], ends[i]).
bool occurs_outside(std::span<const std::int64_t> answer, std::span<const std::int64_t> ids,
                    std::span<const std::int64_t> begins, std::span<const std::int64_t> ends, std::int64_t run_length);

}  // namespace lookback
