#include "data/needle_sequence.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string_view>

#include "core/error.h"

namespace lookback {
namespace {

// Common English words, the commonest first.
constexpr std::array<std::string_view, 291> words{
    "the",      "of",        "and",     "to",       "in",      "a",         "is",      "that",      "it",
    "was",      "for",       "on",      "are",      "with",    "as",        "his",     "they",      "at",
    "be",       "this",      "from",    "have",     "or",      "by",        "one",     "had",       "not",
    "but",      "what",      "all",     "were",     "when",    "we",        "there",   "can",       "an",
    "your",     "which",     "their",   "said",     "if",      "do",        "will",    "each",      "about",
    "how",      "up",        "out",     "them",     "then",    "she",       "many",    "some",      "so",
    "these",    "would",     "other",   "into",     "has",     "more",      "her",     "two",       "like",
    "him",      "see",       "time",    "could",    "no",      "make",      "than",    "first",     "been",
    "its",      "who",       "now",     "people",   "my",      "made",      "over",    "did",       "down",
    "only",     "way",       "find",    "use",      "may",     "water",     "long",    "little",    "very",
    "after",    "words",     "called",  "just",     "where",   "most",      "know",    "get",       "through",
    "back",     "much",      "before",  "go",       "good",    "new",       "write",   "our",       "used",
    "me",       "man",       "too",     "any",      "day",     "same",      "right",   "look",      "think",
    "also",     "around",    "another", "came",     "come",    "work",      "three",   "word",      "must",
    "because",  "does",      "part",    "even",     "place",   "well",      "such",    "here",      "take",
    "why",      "things",    "help",    "put",      "years",   "different", "away",    "again",     "off",
    "went",     "old",       "number",  "great",    "tell",    "men",       "say",     "small",     "every",
    "found",    "still",     "between", "name",     "should",  "home",      "big",     "give",      "air",
    "line",     "set",       "own",     "under",    "read",    "last",      "never",   "us",        "left",
    "end",      "along",     "while",   "might",    "next",    "sound",     "below",   "saw",       "something",
    "thought",  "both",      "few",     "those",    "always",  "looked",    "show",    "large",     "often",
    "together", "asked",     "house",   "world",    "going",   "want",      "school",  "important", "until",
    "form",     "food",      "keep",    "children", "feet",    "land",      "side",    "without",   "boy",
    "once",     "animals",   "life",    "enough",   "took",    "sometimes", "four",    "head",      "above",
    "kind",     "began",     "almost",  "live",     "page",    "got",       "earth",   "need",      "far",
    "hand",     "high",      "year",    "mother",   "light",   "parts",     "country", "father",    "let",
    "night",    "following", "picture", "being",    "study",   "second",    "eyes",    "soon",      "times",
    "story",    "boys",      "since",   "white",    "days",    "ever",      "paper",   "hard",      "near",
    "sentence", "better",    "best",    "across",   "during",  "today",     "others",  "however",   "sure",
    "means",    "knew",      "tried",   "told",     "young",   "miles",     "sun",     "ways",      "thing",
    "whole",    "hear",      "example", "heard",    "several", "change",    "answer",  "room",      "sea",
    "against",  "top",       "turned",  "learn",    "point",   "city",      "play",    "toward",    "five",
    "using",    "himself",   "usually"};

// Short nouns.
constexpr std::array<std::string_view, 67> keys{
    "fox",  "cat",  "dog",  "owl",  "bee",  "ant",  "elk",  "yak",  "emu",  "hen",  "cow", "pig",  "ram",  "bat",
    "cod",  "eel",  "jay",  "koi",  "asp",  "gnu",  "ape",  "boa",  "auk",  "tit",  "cub", "kid",  "pup",  "doe",
    "ewe",  "sow",  "rat",  "hog",  "oak",  "elm",  "ash",  "fir",  "yew",  "ivy",  "fig", "hop",  "pea",  "nut",
    "oat",  "rye",  "tea",  "jam",  "pie",  "bun",  "ham",  "ale",  "gin",  "rum",  "tin", "zinc", "iron", "gold",
    "lead", "ruby", "opal", "jade", "onyx", "coal", "salt", "clay", "silk", "wool", "jute"};

std::string needle_text(std::string_view key, std::string_view value) {
  return fmt::format("|key {} is {}|", key, value);
}

std::string question_text(std::string_view key) { return fmt::format("|What is key {}? It is", key); }

std::string random_value(Random& random) {
  std::string value;
  for (std::int64_t i = 0; i < needle_value_length; ++i) value += static_cast<char>('0' + random.below(10));
  return value;
}

// `count` different numbers of [0, bound), in random order.
std::vector<std::int64_t> draw_without_replacement(std::int64_t bound, std::int64_t count, Random& random) {
  std::vector<std::int64_t> values(static_cast<std::size_t>(bound));
  std::iota(values.begin(), values.end(), 0);
  random.shuffle(values);
  values.resize(static_cast<std::size_t>(count));
  return values;
}

void put(std::string_view text, std::int64_t at, std::vector<std::int64_t>& ids) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    ids[static_cast<std::size_t>(at) + i] = static_cast<unsigned char>(text[i]);
  }
}

// Puts needle `index` into `chunk`; a needle that was there takes its place.
void move_to_chunk(std::int64_t chunk, std::size_t index, std::vector<std::int64_t>& needle_chunks) {
  const auto there = std::find(needle_chunks.begin(), needle_chunks.end(), chunk);
  if (there != needle_chunks.end()) *there = needle_chunks[index];
  needle_chunks[index] = chunk;
}

// Each needle's chunk, in a part of its own.
void spread_over_parts(std::int64_t num_chunks, std::vector<std::int64_t>& needle_chunks, Random& random) {
  const auto num_needles = static_cast<std::int64_t>(needle_chunks.size());
  for (std::int64_t i = 0; i < num_needles; ++i) {
    const std::int64_t begin = i * num_chunks / num_needles;
    const std::int64_t end = (i + 1) * num_chunks / num_needles;
    needle_chunks[static_cast<std::size_t>(i)] =
        begin + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(end - begin)));
  }
}

std::vector<std::int64_t> cut_haystack(std::span<const std::int64_t> haystack, std::int64_t length, Random& random) {
  const auto size = static_cast<std::int64_t>(haystack.size());
  const bool long_enough = length < size;
  const auto begin =
      static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(long_enough ? size - length : size)));
  std::vector<std::int64_t> ids(static_cast<std::size_t>(length));
  for (std::int64_t i = 0; i < length; ++i)
    ids[static_cast<std::size_t>(i)] = haystack[static_cast<std::size_t>((begin + i) % size)];
  return ids;
}

}  // namespace

std::string make_sentences(std::int64_t num_bytes, Random& random) {
  std::array<double, words.size()> cumulative{};
  double sum = 0;
  for (std::size_t rank = 0; rank < words.size(); ++rank) cumulative[rank] = sum += 1.0 / static_cast<double>(rank + 8);
  std::string text;
  while (static_cast<std::int64_t>(text.size()) < num_bytes) {
    const std::size_t sentence_begin = text.size();
    const std::uint64_t num_words = 5 + random.below(8);
    for (std::uint64_t i = 0; i < num_words; ++i) {
      const auto* const found = std::upper_bound(cumulative.begin(), cumulative.end(), sum * random.uniform());
      if (i > 0) text += ' ';
      text += words[std::min<std::size_t>(static_cast<std::size_t>(found - cumulative.begin()), words.size() - 1)];
    }
    text[sentence_begin] = static_cast<char>(text[sentence_begin] - 'a' + 'A');
    text += ". ";
  }
  text.resize(static_cast<std::size_t>(num_bytes));
  return text;
}

void check_needle_shape(const NeedleSequenceShape& shape) {
  std::size_t longest_key = 0;
  for (const std::string_view key : keys) longest_key = std::max(longest_key, key.size());
  const std::string key(longest_key, 'k');
  const auto longest = static_cast<std::int64_t>(
      std::max(question_text(key).size(), needle_text(key, std::string(needle_value_length, '0')).size()));
  require(shape.chunk_size >= longest, "needle sequence: chunk_size is {}, needles and questions need {}",
          shape.chunk_size, longest);
  require(shape.num_needles >= 1 && shape.num_needles <= static_cast<std::int64_t>(keys.size()),
          "needle sequence: {} needles, expected 1 to {}", shape.num_needles, keys.size());
  require(shape.num_questions >= 1, "needle sequence: {} questions, expected at least 1", shape.num_questions);
  require(shape.num_empty_chunks >= 0 && shape.depth <= 1,
          "needle sequence: num_empty_chunks {} or depth {} out of range", shape.num_empty_chunks, shape.depth);
  require(!shape.spread || (shape.num_questions == shape.num_needles && shape.depth < 0),
          "needle sequence: spread needles are asked for once each, and have no depth");
  require(shape.num_chunks >= shape.num_needles + shape.num_empty_chunks + 2 * shape.num_questions,
          "needle sequence: {} chunks have no room for {} needles, {} empty chunks and {} pairs of question "
          "and answer",
          shape.num_chunks, shape.num_needles, shape.num_empty_chunks, shape.num_questions);
}

NeedleSequence make_needle_sequence(std::span<const std::int64_t> haystack, const NeedleSequenceShape& shape,
                                    Random& random) {
  check_needle_shape(shape);
  require(!haystack.empty(), "needle sequence: the haystack is empty");
  const std::int64_t first_question_chunk = shape.num_chunks - 2 * shape.num_questions;
  NeedleSequence sequence;
  sequence.ids = cut_haystack(haystack, shape.num_chunks * shape.chunk_size, random);

  const auto key_indices = draw_without_replacement(static_cast<std::int64_t>(keys.size()), shape.num_needles, random);
  const std::int64_t num_needle_chunks = first_question_chunk - shape.num_empty_chunks;
  std::vector<std::int64_t> needle_chunks = draw_without_replacement(num_needle_chunks, shape.num_needles, random);
  std::vector<std::int64_t> asked = draw_without_replacement(shape.num_needles, shape.num_needles, random);
  if (shape.depth >= 0) {
    move_to_chunk(std::llround(shape.depth * static_cast<double>(num_needle_chunks - 1)),
                  static_cast<std::size_t>(asked[0]), needle_chunks);
  }
  if (shape.spread) {
    std::ranges::sort(asked);
    spread_over_parts(num_needle_chunks, needle_chunks, random);
  }
  std::vector<std::string> values;
  std::vector<std::int64_t> begins;
  for (std::size_t i = 0; i < key_indices.size(); ++i) {
    values.push_back(random_value(random));
    const std::string needle = needle_text(keys[static_cast<std::size_t>(key_indices[i])], values.back());
    const auto room = static_cast<std::uint64_t>(shape.chunk_size - static_cast<std::int64_t>(needle.size()) + 1);
    begins.push_back(needle_chunks[i] * shape.chunk_size + static_cast<std::int64_t>(random.below(room)));
    put(needle, begins.back(), sequence.ids);
  }

  for (std::int64_t q = 0; q < shape.num_questions; ++q) {
    const auto needle = static_cast<std::size_t>(
        shape.num_questions <= shape.num_needles
            ? asked[static_cast<std::size_t>(q)]
            : static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(shape.num_needles))));
    const std::int64_t question_end = (first_question_chunk + 2 * q + 1) * shape.chunk_size;
    const std::string question = question_text(keys[static_cast<std::size_t>(key_indices[needle])]);
    put(question, question_end - static_cast<std::int64_t>(question.size()), sequence.ids);
    put(fmt::format(" {}|", values[needle]), question_end, sequence.ids);
    sequence.answer_begins.push_back(question_end + 1);
    sequence.needle_begins.push_back(begins[needle]);
  }
  return sequence;
}

}  // namespace lookback
