#include "data/train_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/files.h"
#include "data/dataset_folder.h"
#include "data/prepare_runs.h"
#include "text/bpe_trainer.h"
#include "text/tokenizer.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TrainTokenizer : public ::testing::Test {
 protected:
  TrainTokenizerConfig config_for(const std::vector<fs::path>& inputs, std::int64_t vocab_size) const {
    TrainTokenizerConfig config;
    config.inputs = inputs;
    config.vocab_size = vocab_size;
    config.out = path_ / "out";
    return config;
  }

  static std::string error_of(const TrainTokenizerConfig& config) {
    try {
      train_tokenizer(config, {});
    } catch (const Error& error) {
      return error.what();
    }
    return "(no error)";
  }

  std::vector<std::string> names_in_folder() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(path_)) names.push_back(entry.path().filename().string());
    return names;
  }

  TemporaryFolder folder_;
  const fs::path path_ = folder_.path();
};

// Long texts are read in pieces, and what is counted is as of the whole.
TEST_F(TrainTokenizer, BpeOfAllInputs) {
  const std::string text = generated_text(3'000'000, 1);
  write_bytes(path_ / "in/a.txt", text);
  write_bytes(path_ / "in/b.jsonl.gz", gzip_compressed("{\"text\": \"lines of words\"}\nbroken\n"));
  const TrainTokenizerConfig config = config_for({path_ / "in"}, 270);
  const TrainTokenizerResult result = train_tokenizer(config, {});
  WordCounts words;
  words.add_text(text);
  words.add_text("lines of words");
  const std::vector<std::string> special = {"<|endoftext|>"};
  EXPECT_EQ(read_file(config.out / "tokenizer.json"),
            bpe_tokenizer_json(train_bpe(words, {270, 2, special}, {}, {}), special));
  EXPECT_EQ(result.file, config.out / "tokenizer.json");
  EXPECT_EQ(result.vocab_size, 270);
  EXPECT_EQ(result.num_skipped, 1);
  EXPECT_EQ(result.text_bytes, static_cast<std::int64_t>(text.size()) + 14);
  EXPECT_THAT(error_of(config), HasSubstr("there already"));
}

TEST_F(TrainTokenizer, AnyTokenEndsATextOfBpe) {
  write_bytes(path_ / "a.txt", "some text, some more text");
  TrainTokenizerConfig config = config_for({path_ / "a.txt"}, 260);
  config.end_of_text = "[FIN]";
  train_tokenizer(config, {});
  const auto tokenizer = load_tokenizer(config.out.string());
  EXPECT_THAT(tokenizer->encode("[FIN]"), ElementsAre(tokenizer->end_of_text_id()));
}

TEST_F(TrainTokenizer, UnigramTakesTextsAsTheyAre) {
  // Words of three syllables out of ten, which so many different words share that they become pieces.
  const std::vector<std::string> syllables = {"kar", "lom", "min", "tes", "vod", "zup", "rif", "gan", "hel", "pyx"};
  std::string text = "\tdef f(x):  # two  blanks\r\n";
  for (std::size_t i = 0; i < 1000; ++i) {
    text += syllables[i % 10] + syllables[i / 10 % 10] + syllables[i / 100] + (i % 8 == 7 ? "\n" : " ");
  }
  write_bytes(path_ / "a.txt", text + std::string(10'000, 'x') + " " + generated_text(20'000, 5));
  TrainTokenizerConfig config = config_for({path_ / "a.txt"}, 340);
  config.kind = TokenizerKind::unigram;
  const TrainTokenizerResult result = train_tokenizer(config, {});
  EXPECT_EQ(result.file, config.out / "tokenizer.model");
  EXPECT_EQ(result.vocab_size, 340);
  const auto tokenizer = load_tokenizer(config.out.string());
  EXPECT_EQ(tokenizer->end_of_text_id(), 1);
  const std::string decoded = tokenizer->decode(tokenizer->encode(text));
  EXPECT_EQ(decoded.substr(tokenizer->puts_blank_before_text() ? 1 : 0), text);
  EXPECT_LT(tokenizer->encode("karlommin tesvodzup").size(), 10U);
  config.out = path_ / "again";
  train_tokenizer(config, {});
  EXPECT_TRUE(read_file(path_ / "again/tokenizer.model") == read_file(result.file));
}

TEST_F(TrainTokenizer, AStopLeavesNothing) {
  write_bytes(path_ / "a.txt", generated_text(3'000'000, 2));
  for (const TokenizerKind kind : {TokenizerKind::bpe, TokenizerKind::unigram}) {
    StopSource source;
    TrainTokenizerListener listener;
    listener.stop = source.token();
    listener.progress = [&](const TrainTokenizerProgress&) { source.request_stop(); };
    TrainTokenizerConfig config = config_for({path_ / "a.txt"}, 270);
    config.kind = kind;
    EXPECT_TRUE(train_tokenizer(config, listener).interrupted);
    EXPECT_THAT(names_in_folder(), ElementsAre("a.txt"));
  }
}

TEST_F(TrainTokenizer, RefusesWhatCannotBe) {
  write_bytes(path_ / "a.txt", "few words");
  write_bytes(path_ / "empty.jsonl", "\n");
  EXPECT_THAT(error_of(config_for({path_ / "a.txt"}, 100)), HasSubstr("a vocabulary of 100"));
  EXPECT_THAT(error_of(config_for({path_ / "empty.jsonl"}, 300)), HasSubstr("no text"));
  EXPECT_THAT(error_of(config_for({path_ / "none.txt"}, 300)), HasSubstr("none.txt"));
  TrainTokenizerConfig config = config_for({path_ / "a.txt"}, 5000);
  config.kind = TokenizerKind::unigram;
  EXPECT_THAT(error_of(config), HasSubstr("5000 pieces from these texts: Vocabulary size too high"));
  config.vocab_size = 200;
  EXPECT_THAT(error_of(config), HasSubstr("expected more than 258"));
  config.inputs = {path_ / "empty.jsonl"};
  EXPECT_THAT(error_of(config), HasSubstr("no text"));
  EXPECT_FALSE(fs::exists(config.out));
}

}  // namespace
}  // namespace lookback
