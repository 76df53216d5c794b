#include "data/needle_library.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "core/error.h"
#include "data/needle_sequence.h"

namespace lookback {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

std::vector<std::int64_t> sentence_ids(std::int64_t num_bytes) {
  Random random(1);
  const std::string text = make_sentences(num_bytes, random);
  return {text.begin(), text.end()};
}

std::string text_of(std::span<const std::int64_t> ids) { return {ids.begin(), ids.end()}; }

TEST(NeedleLibrary, EveryQuestionIsAnsweredByTheNeedleOfItsPart) {
  const std::vector<std::int64_t> haystack = sentence_ids(5000);
  constexpr std::size_t num_chunks = 20'000 / 31;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Random random(seed);
    const NeedleLibrary library =
        make_needle_library(haystack, {.chunk_size = 31, .length = 20'000, .num_needles = 50}, random);
    ASSERT_EQ(library.ids.size(), 20'000U / 31 * 31);
    ASSERT_EQ(library.questions.size(), 50U);
    const std::string text = text_of(library.ids);
    std::set<std::string> keys;
    for (std::size_t q = 0; q < library.questions.size(); ++q) {
      const NeedleSample& question = library.questions[q];
      const auto begin = static_cast<std::size_t>(question.needle_begins.at(0));
      const std::string needle = text.substr(begin, static_cast<std::size_t>(question.needle_ends.at(0)) - begin);
      const std::string answer = text_of(question.answer_ids);
      const std::string key = needle.substr(5, needle.find(' ', 5) - 5);
      EXPECT_EQ(needle, fmt::format("|key {} is {}|", key, answer));
      EXPECT_TRUE(keys.insert(key).second) << "a key of two needles";
      // Inside one chunk, in the q-th of 50 equal parts.
      EXPECT_EQ(begin / 31, (begin + needle.size() - 1) / 31);
      EXPECT_GE(begin / 31, q * num_chunks / 50) << begin;
      EXPECT_LT(begin / 31, (q + 1) * num_chunks / 50) << begin;
      EXPECT_NEAR(question.depth, static_cast<double>(begin) / static_cast<double>(text.size()), 1e-12);
      // The question ends a chunk; one blank begins the next.
      const std::string prompt = text_of(question.prompt_ids);
      EXPECT_EQ(prompt.size() % 31, 1U);
      EXPECT_TRUE(prompt.ends_with("|What is key " + key + "? It is ")) << prompt;
      EXPECT_EQ(prompt.find(answer), std::string::npos);
      EXPECT_EQ(text.find(answer), begin + needle.size() - 6);
      EXPECT_EQ(text.find(answer, begin + needle.size()), std::string::npos);
    }
  }
}

TEST(NeedleLibrary, TheSeedDecidesAll) {
  const std::vector<std::int64_t> haystack = sentence_ids(5000);
  const NeedleLibraryShape shape{.chunk_size = 40, .length = 4000, .num_needles = 10};
  Random first(3);
  Random second(3);
  Random other(4);
  const NeedleLibrary library = make_needle_library(haystack, shape, first);
  EXPECT_EQ(library.ids, make_needle_library(haystack, shape, second).ids);
  EXPECT_NE(library.ids, make_needle_library(haystack, shape, other).ids);
}

TEST(NeedleLibrary, WhatDoesNotFitIsRefused) {
  const std::vector<std::int64_t> haystack = sentence_ids(5000);
  Random random(1);
  EXPECT_THAT([&] { make_needle_library(haystack, {.chunk_size = 31, .length = 300, .num_needles = 10}, random); },
              ThrowsMessage<Error>(HasSubstr("no room for 10 needles")));
  EXPECT_THROW(make_needle_library(haystack, {.chunk_size = 31, .length = 90'000, .num_needles = 1000}, random), Error);
  EXPECT_THROW(make_needle_library({}, {.chunk_size = 31, .length = 900, .num_needles = 2}, random), Error);
  std::vector<std::int64_t> digits;
  for (int i = 0; i < 100'000; ++i) {
    for (const char digit : std::to_string(100'000 + i)) digits.push_back(digit);
  }
  EXPECT_THAT([&] { make_needle_library(digits, {.chunk_size = 31, .length = 550'000, .num_needles = 20}, random); },
              ThrowsMessage<Error>(HasSubstr("too full of digits")));
}

}  // namespace
}  // namespace lookback
