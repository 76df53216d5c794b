#include "data/needle_task.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "core/error.h"
#include "data/needle_sequence.h"

namespace lookback {
namespace {

// Bytes and an end-of-text id, or (offset 7) ids that are no bytes.
class ShiftedBytes : public Tokenizer {
 public:
  explicit ShiftedBytes(std::int32_t offset) : offset_(offset) {}
  using Tokenizer::decode;
  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<std::int32_t>& ids) const override {
    for (const char byte : text) ids.push_back(static_cast<unsigned char>(byte) + offset_);
  }
  void decode(std::int32_t id, std::string& text) const override {
    if (id >= offset_ && id < 256 + offset_) text += static_cast<char>(id - offset_);
  }
  std::int32_t vocab_size() const override { return 257 + offset_; }
  std::int32_t end_of_text_id() const override { return 256 + offset_; }
  std::string fingerprint() const override { return "0123456789abcdef"; }
  void save(const std::filesystem::path&) const override {}

 private:
  std::int32_t offset_;
};

std::vector<std::int64_t> sentence_ids(std::int64_t num_bytes, std::int64_t offset) {
  Random random(1);
  std::vector<std::int64_t> ids;
  for (const char byte : make_sentences(num_bytes, random)) ids.push_back(static_cast<unsigned char>(byte) + offset);
  return ids;
}

std::string slice(const std::vector<std::int64_t>& ids, std::int64_t begin, std::int64_t end) {
  return {ids.begin() + begin, ids.begin() + end};
}

class NeedleTaskTest : public testing::TestWithParam<NeedleKind> {
 protected:
  const ShiftedBytes tokenizer_{0};
  const std::vector<std::int64_t> haystack_ = sentence_ids(20'000, 0);
  NeedleTask task() const { return {.kind = GetParam(), .chunk_size = 40, .length = 4'015, .depth = -1}; }
  NeedleSample make(const NeedleTask& task, std::uint64_t seed) const {
    Random random(seed);
    return NeedleGenerator(task, haystack_, tokenizer_).make(random);
  }
};

TEST_P(NeedleTaskTest, TheQuestionEndsWithTheFirstTokenOfTheLastChunk) {
  for (const std::int64_t length : {1'600, 1'639, 4'015}) {
    NeedleTask changed = task();
    changed.length = length;
    const NeedleSample sample = make(changed, 3);
    const std::int64_t num_chunks = length / 40;
    EXPECT_EQ(static_cast<std::int64_t>(sample.prompt_ids.size()), (num_chunks - 1) * 40 + 1);
    EXPECT_FALSE(sample.answer_ids.empty());
  }
}

TEST_P(NeedleTaskTest, NeedlesLieTwoChunksBeforeTheEndAndHoldTheAnswer) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const NeedleSample sample = make(task(), seed);
    ASSERT_EQ(sample.needle_begins.size(), GetParam() == NeedleKind::multi_hop ? 2U : 1U);
    std::string answer;
    for (std::size_t i = 0; i < sample.needle_begins.size(); ++i) {
      EXPECT_GE(sample.needle_begins[i], 0);
      EXPECT_LE(sample.needle_ends[i], (100 - 2) * 40);
      const std::string needle = slice(sample.prompt_ids, sample.needle_begins[i], sample.needle_ends[i]);
      EXPECT_EQ(needle.front(), '|');
      EXPECT_EQ(needle.back(), '|');
      const std::size_t value = GetParam() == NeedleKind::single ? 10 : 5;
      answer += (i > 0 ? "," : "") + needle.substr(needle.size() - 1 - value, value);
    }
    EXPECT_EQ(slice(sample.answer_ids, 0, static_cast<std::int64_t>(sample.answer_ids.size())), answer);
    EXPECT_FALSE(occurs_outside(sample.answer_ids, sample.prompt_ids, sample.needle_begins, sample.needle_ends, 4));
  }
}

TEST_P(NeedleTaskTest, TheSeedDecides) {
  const NeedleSample sample = make(task(), 11);
  EXPECT_EQ(sample.prompt_ids, make(task(), 11).prompt_ids);
  EXPECT_EQ(sample.answer_ids, make(task(), 11).answer_ids);
  std::set<std::vector<std::int64_t>> answers;
  for (std::uint64_t seed = 0; seed < 20; ++seed) answers.insert(make(task(), seed).answer_ids);
  EXPECT_EQ(answers.size(), 20U);
}

TEST_P(NeedleTaskTest, DepthIsWhereTheNeedleLies) {
  for (const double depth : {0.0, 0.25, 0.5, 0.75, 1.0}) {
    NeedleTask changed = task();
    changed.depth = depth;
    const NeedleSample sample = make(changed, 5);
    // Other needles before it (at most five of 60 tokens) and the offset in the chunk (recipe) move it a little.
    EXPECT_NEAR(sample.depth, depth, 0.1);
    const double limit = 98.0 * 40 - (GetParam() == NeedleKind::recipe ? 6.0 * 40 : 0.0);
    EXPECT_NEAR(static_cast<double>(sample.needle_begins[0]) / limit, depth, 0.1);
  }
}

TEST_P(NeedleTaskTest, RefusesALengthWithoutRoom) {
  NeedleTask changed = task();
  changed.length = 80;
  EXPECT_THROW(make(changed, 0), Error);
  changed.length = 0;
  EXPECT_THROW(make(changed, 0), Error);
}

INSTANTIATE_TEST_SUITE_P(Kinds, NeedleTaskTest,
                         testing::Values(NeedleKind::single, NeedleKind::multi, NeedleKind::multi_hop,
                                         NeedleKind::recipe),
                         [](const auto& info) {
                           std::string name = to_string(info.param);
                           std::erase(name, '-');
                           return name;
                         });

// The wordings of the tasks, with tokens that are no bytes.
TEST(NeedleTask, WordsAreThoseOfTheTask) {
  const ShiftedBytes tokenizer(7);
  const std::vector<std::int64_t> haystack = sentence_ids(9'000, 7);
  const auto texts = [&](NeedleKind kind) {
    Random random(2);
    const NeedleSample sample =
        NeedleGenerator({.kind = kind, .chunk_size = 63, .length = 4'096}, haystack, tokenizer).make(random);
    const auto text = [&](std::int64_t begin, std::int64_t end) {
      return tokenizer.decode({sample.prompt_ids.begin() + begin, sample.prompt_ids.begin() + end});
    };
    const auto size = static_cast<std::int64_t>(sample.prompt_ids.size());
    return std::pair(text(sample.needle_begins[0], sample.needle_ends[0]), text(size - 36, size));
  };
  const auto [passkey, passkey_question] = texts(NeedleKind::single);
  EXPECT_TRUE(passkey.starts_with("|The passkey is:"));
  EXPECT_EQ(passkey.size(), 16U + 10U + 1U);
  EXPECT_EQ(passkey_question, "|What is the passkey? The passkey is");
  const auto [magic, magic_question] = texts(NeedleKind::multi);
  EXPECT_TRUE(magic.starts_with("|One of the special magic numbers for "));
  EXPECT_EQ(magic.substr(38 + 5, 4), " is ");
  EXPECT_EQ(magic_question.substr(36 - 21), "|The value of " + magic.substr(38, 5) + "is");
  const auto [link, path_question] = texts(NeedleKind::multi_hop);
  EXPECT_EQ(link.substr(0, 4), "|DEF");
  EXPECT_EQ(link.substr(9, 2), "->");
  EXPECT_EQ(path_question.substr(36 - 21), "|The path from" + link.substr(4, 5) + "is");
}

TEST(NeedleTask, RecipeNeedsBytes) {
  const ShiftedBytes tokenizer(7);
  const std::vector<std::int64_t> haystack = sentence_ids(9'000, 7);
  EXPECT_THROW(NeedleGenerator({.kind = NeedleKind::recipe, .chunk_size = 31, .length = 4'096}, haystack, tokenizer),
               Error);
}

TEST(NeedleTask, FindsRunsOfTheAnswerOutsideOfTheNeedle) {
  const std::vector<std::int64_t> answer = {1, 2, 3, 4, 5};
  const std::vector<std::int64_t> begins = {2};
  const std::vector<std::int64_t> ends = {8};
  EXPECT_FALSE(occurs_outside(answer, std::vector<std::int64_t>{0, 0, 9, 1, 2, 3, 4, 5, 0, 1, 2, 3}, begins, ends, 4));
  EXPECT_TRUE(
      occurs_outside(answer, std::vector<std::int64_t>{0, 0, 9, 1, 2, 3, 4, 5, 0, 2, 3, 4, 5}, begins, ends, 4));
  EXPECT_TRUE(occurs_outside(std::vector<std::int64_t>{7, 8}, std::vector<std::int64_t>{7, 8}, {}, {}, 4));
}

TEST(NeedleTask, DrawsAgainWhenTheHaystackHoldsTheAnswer) {
  // A haystack of one random run: the same seed would draw it, so the generator must draw something else.
  const ShiftedBytes tokenizer(0);
  const NeedleTask task{.kind = NeedleKind::single, .chunk_size = 40, .length = 2'000, .depth = 0.5};
  const std::vector<std::int64_t> plain = {'a'};
  Random first(4);
  const std::vector<std::int64_t> answer = NeedleGenerator(task, plain, tokenizer).make(first).answer_ids;
  Random again(4);
  EXPECT_NE(NeedleGenerator(task, answer, tokenizer).make(again).answer_ids, answer);
}

TEST(NeedleTask, NamesUnknownKinds) {
  EXPECT_THROW(parse_needle_kind("triple"), Error);
  EXPECT_EQ(parse_needle_kind("multi-hop"), NeedleKind::multi_hop);
}

}  // namespace
}  // namespace lookback
