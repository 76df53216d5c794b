// Byte-pair encoding learned here against what the Python package `tokenizers` learns from the same texts.
#include "text/bpe_trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/error.h"
#include "text/fixture_files.h"
#include "text/word_scanners.h"

namespace lookback {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::ThrowsMessage;
using ::testing::UnorderedElementsAre;

const Json& fixture() {
  static const Json loaded = parse_json(gunzip_fixture("families/trained-bpe.json.gz"), "trained-bpe");
  return loaded;
}

WordCounts fixture_words() {
  WordCounts words;
  for (const Json& text : fixture().at("texts")) words.add_text(text.get<std::string>());
  return words;
}

BpeTrainingConfig config_of(const Json& trained) {
  return {trained.at("vocab_size").get<std::int64_t>(), trained.at("min_frequency").get<std::int64_t>(),
          trained.at("special_tokens").get<std::vector<std::string>>()};
}

TEST(BpeTrainer, LearnsWhatThePythonPackageLearns) {
  const WordCounts words = fixture_words();
  ASSERT_EQ(fixture().at("trained").size(), 3U);
  for (const Json& trained : fixture().at("trained")) {
    const BpeTrainingConfig config = config_of(trained);
    const LearnedBpe learned = train_bpe(words, config, {}, {});
    const Json file = parse_json(bpe_tokenizer_json(learned, config.special_tokens), "learned");
    const Json& expected = trained.at("tokenizer");
    EXPECT_TRUE(file.at("model").at("vocab") == expected.at("model").at("vocab")) << config.min_frequency;
    EXPECT_TRUE(file.at("model").at("merges") == expected.at("model").at("merges")) << config.min_frequency;
    for (const auto& [key, value] : expected.items()) {
      if (key != "model") {
        EXPECT_EQ(file.at(key), value) << key;
      }
    }
  }
}

TEST(BpeTrainer, ItsFileIsATokenizer) {
  const BpeTrainingConfig config = config_of(fixture().at("trained").at(0));
  const auto tokenizer =
      tokenizer_from(bpe_tokenizer_json(train_bpe(fixture_words(), config, {}, {}), config.special_tokens));
  EXPECT_EQ(tokenizer->vocab_size(), 700);
  EXPECT_EQ(tokenizer->end_of_text_id(), 0);
  for (const Json& text : fixture().at("texts")) {
    const auto ids = tokenizer->encode(text.get<std::string>());
    EXPECT_EQ(tokenizer->decode(ids), text.get<std::string>());
  }
}

// By hand: "hug" 3 times, "hugs" twice; h-u and u-g five times each, and 'g' < 'h' < 's' < 'u' in the alphabet, so that
// (h, u) comes before (u, g).
TEST(BpeTrainer, EquallyFrequentPairsByTheirIds) {
  WordCounts words;
  words.add_text("hug-hug-hug-hugs-hugs");
  EXPECT_THAT(words.counts(), UnorderedElementsAre(Pair("hug", 3), Pair("hugs", 2), Pair("-", 4)));
  const LearnedBpe learned = train_bpe(words, {1000, 2, {}}, {}, {});
  ASSERT_EQ(learned.tokens.size(), 259U);
  EXPECT_THAT(std::vector<std::string>(learned.tokens.begin() + 256, learned.tokens.end()),
              ElementsAre("hu", "hug", "hugs"));
}

TEST(BpeTrainer, StopsWhenAsked) {
  StopSource source;
  const LearnedBpe learned = train_bpe(
      fixture_words(), {700, 2, {}},
      [&](std::int64_t num_tokens) {
        if (num_tokens == 300) source.request_stop();
      },
      source.token());
  EXPECT_EQ(learned.tokens.size(), 300U);
}

TEST(BpeTrainer, RefusesImpossibleVocabularies) {
  const auto error = [](const BpeTrainingConfig& config) { return [config] { train_bpe({}, config, {}, {}); }; };
  EXPECT_THAT(error({256, 2, {"<s>"}}), ThrowsMessage<Error>(HasSubstr("expected 257")));
  EXPECT_THAT(error({1'000'001, 2, {}}), ThrowsMessage<Error>(HasSubstr("1000000")));
  EXPECT_THAT(error({300, 2, {"<s>", "<s>"}}), ThrowsMessage<Error>(HasSubstr("<s> comes twice")));
  EXPECT_THAT(error({300, 2, {"a"}}), ThrowsMessage<Error>(HasSubstr("a comes twice, or is a single byte")));
  EXPECT_THAT(error({300, 2, {""}}), ThrowsMessage<Error>(HasSubstr("empty")));
  EXPECT_THAT(error({300, 0, {}}), ThrowsMessage<Error>(HasSubstr("1 or more")));
  EXPECT_EQ(train_bpe({}, {256, 2, {}}, {}, {}).tokens.size(), 256U);
}

// A text that is cut there has the words of the whole, wherever it is cut first.
TEST(LastWordEnd, CutsNoWord) {
  for (const Json& value : parse_json(gunzip_fixture("families/texts.json.gz"), "texts")) {
    const auto text = value.get<std::string>();
    WordCounts whole;
    whole.add_text(text);
    for (std::size_t size = 0; size <= text.size(); ++size) {
      const std::size_t end = last_word_end(std::string_view(text).substr(0, size));
      ASSERT_LE(end, size);
      WordCounts parts;
      parts.add_text(std::string_view(text).substr(0, end));
      parts.add_text(std::string_view(text).substr(end));
      ASSERT_TRUE(parts.counts() == whole.counts()) << dump_line(text) << " " << end;
    }
  }
  EXPECT_EQ(last_word_end("one two"), 3U);
  EXPECT_EQ(last_word_end("one two "), 7U);
  EXPECT_EQ(last_word_end("one"), 0U);
}

}  // namespace
}  // namespace lookback
