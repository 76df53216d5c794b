#include "data/needle_library.h"

#include <algorithm>

#include "core/error.h"
#include "data/needle_sequence.h"

namespace lookback {
namespace {

constexpr std::int64_t prompt_text_chunks = 3;  // before the question's
constexpr int most_library_draws = 10;

NeedleLibrary draw(std::span<const std::int64_t> haystack, const NeedleLibraryShape& shape, Random& random) {
  const std::int64_t num_chunks = shape.length / shape.chunk_size;
  // Pairs of chunks behind the text hold the questions and their answers.
  NeedleSequence sequence = make_needle_sequence(haystack,
                                                 {.chunk_size = shape.chunk_size,
                                                  .num_chunks = num_chunks + 2 * shape.num_needles,
                                                  .num_needles = shape.num_needles,
                                                  .num_questions = shape.num_needles,
                                                  .spread = true},
                                                 random);
  NeedleLibrary library;
  const std::int64_t text_length = num_chunks * shape.chunk_size;
  for (std::size_t q = 0; q < sequence.answer_begins.size(); ++q) {
    NeedleSample question;
    const std::size_t text_begin = random.below(haystack.size());
    for (std::int64_t i = 0; i < prompt_text_chunks * shape.chunk_size; ++i) {
      question.prompt_ids.push_back(haystack[(text_begin + static_cast<std::size_t>(i)) % haystack.size()]);
    }
    const auto answer = sequence.ids.begin() + sequence.answer_begins[q];
    // The question's chunk, and the blank that begins the next.
    question.prompt_ids.insert(question.prompt_ids.end(), answer - 1 - shape.chunk_size, answer);
    question.answer_ids.assign(answer, answer + needle_value_length);
    const std::int64_t begin = sequence.needle_begins[q];
    question.needle_begins = {begin};
    question.needle_ends = {std::find(sequence.ids.begin() + begin + 1, sequence.ids.end(), '|') -
                            sequence.ids.begin() + 1};
    question.depth = static_cast<double>(begin) / static_cast<double>(text_length);
    library.questions.push_back(std::move(question));
  }
  sequence.ids.resize(static_cast<std::size_t>(text_length));
  library.ids = std::move(sequence.ids);
  return library;
}

}  // namespace

NeedleLibrary make_needle_library(std::span<const std::int64_t> haystack, const NeedleLibraryShape& shape,
                                  Random& random) {
  require(shape.chunk_size >= 1 && shape.length / shape.chunk_size >= shape.num_needles,
          "needle library: {} tokens in chunks of {} have no room for {} needles", shape.length, shape.chunk_size,
          shape.num_needles);
  for (int i = 0; i < most_library_draws; ++i) {
    NeedleLibrary library = draw(haystack, shape, random);
    const bool elsewhere = std::ranges::any_of(library.questions, [&](const NeedleSample& question) {
      return occurs_outside(question.answer_ids, library.ids, question.needle_begins, question.needle_ends,
                            needle_value_length);
    });
    if (!elsewhere) return library;
  }
  fail("needle library: answers occurred elsewhere in {} draws: the haystack is too full of digits, give another",
       most_library_draws);
}

}  // namespace lookback
