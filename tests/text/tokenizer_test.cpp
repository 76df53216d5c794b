#include "text/tokenizer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "core/error.h"
#include "core/files.h"
#include "core/json.h"
#include "core/random.h"
#include "text/gpt2_fixture.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

const fs::path fixtures = LOOKBACK_SOURCE_DIR "/tests/fixtures/tokenizers";

std::unique_ptr<Tokenizer> from_json(const std::string& content) {
  const fs::path path =
      fs::path(testing::TempDir()) / ("lookback-test-tokenizer-" + std::to_string(::getpid()) + ".json");
  write_file_atomic(path, content);
  return load_tokenizer(path.string());
}

const Tokenizer& gpt2() {
  static const std::unique_ptr<Tokenizer> tokenizer = from_json(gpt2_tokenizer_json());
  return *tokenizer;
}

void expect_ids(const Tokenizer& tokenizer, const Json& cases) {
  for (const Json& sample : cases) {
    const auto text = sample.at("text").get<std::string>();
    EXPECT_EQ(tokenizer.encode(text), sample.at("ids").get<std::vector<std::int32_t>>()) << Json(text).dump();
  }
}

TEST(Gpt2Tokenizer, GivesThePublishedIds) {
  const Json cases = read_json_file(fixtures / "gpt2-expected.json");
  ASSERT_EQ(cases.size(), 340U);
  expect_ids(gpt2(), cases);
}

TEST(Gpt2Tokenizer, DecodingGivesBackAnyBytes) {
  Random random(3);
  for (int i = 0; i < 200; ++i) {
    std::string text;
    for (std::uint64_t size = random.below(60); text.size() < size;) text += static_cast<char>(random.below(256));
    EXPECT_EQ(gpt2().decode(gpt2().encode(text)), text);
  }
  EXPECT_EQ(gpt2().encode("").size(), 0U);
  EXPECT_EQ(gpt2().end_of_text_id(), 50256);
}

TEST(Gpt2Tokenizer, LongWordsMergeAsShortOnesDo) {
  // Both ways of merging meet here: a word just below and just above the length at which the method changes.
  for (const std::size_t size : {23U, 24U, 25U, 26U, 200U}) {
    Random random(size);
    std::string word;
    while (word.size() < size) word += static_cast<char>('a' + random.below(4));
    EXPECT_EQ(gpt2().decode(gpt2().encode(word)), word);
  }
  // A megabyte of one letter ends in time and is whole; every piece of the run merges the same way.
  const std::string run(1 << 20, 'a');
  EXPECT_EQ(gpt2().decode(gpt2().encode(run)), run);
}

TEST(Gpt2Tokenizer, SavedFolderLoadsAgain) {
  const fs::path folder = fs::path(testing::TempDir()) / "lookback-test-saved-tokenizer";
  fs::create_directories(folder);
  gpt2().save(folder);
  EXPECT_TRUE(has_tokenizer(folder));
  EXPECT_EQ(load_tokenizer(folder.string())->fingerprint(), gpt2().fingerprint());
}

// The file with its first merges only, so that breaking it many times stays quick.
LookupJson small_file() {
  LookupJson file = parse_lookup_json(gpt2_tokenizer_json(), "fixture");
  LookupJson& merges = file["model"]["merges"];
  merges.erase(merges.begin() + 100, merges.end());
  LookupJson vocabulary = LookupJson::object();
  for (const auto& [token, id] : file["model"]["vocab"].items()) {
    if (id.get<int>() < 256 + 100) vocabulary[token] = id;
  }
  file["model"]["vocab"] = vocabulary;
  return file;
}

std::string error_with(const std::function<void(LookupJson&)>& change) {
  static const LookupJson small = small_file();
  LookupJson file = small;
  change(file);
  try {
    from_json(file.dump());
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

TEST(TokenizerFile, WhatIsNotSupportedIsNamed) {
  const auto expect = [](const std::function<void(LookupJson&)>& change, const char* part) {
    const std::string message = error_with(change);
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  expect([](LookupJson& file) { file["model"]["type"] = "WordPiece"; }, "model type \"WordPiece\"");
  expect([](LookupJson& file) { file["model"]["dropout"] = 0.1; }, "dropout");
  expect([](LookupJson& file) { file["normalizer"] = {{"type", "Nmt"}}; }, "normalizer type \"Nmt\"");
  expect([](LookupJson& file) { file["pre_tokenizer"] = {{"type", "UnicodeScripts"}}; },
         "pre_tokenizer type \"UnicodeScripts\"");
  expect([](LookupJson& file) { file["decoder"] = nullptr; }, "decoder");
  expect([](LookupJson& file) { file["model"].erase("merges"); }, "field \"merges\"");
  expect([](LookupJson& file) { file["model"]["merges"][7] = "xyzzy-none q"; },
         "merge 7 needs the token \"xyzzy-none\"");
  expect([](LookupJson& file) { file["model"]["merges"][7] = 3; }, "merge 7 is no pair");
  expect([](LookupJson& file) { file["model"]["vocab"]["!"] = "zero"; }, "the id of \"!\" is no integer");
  expect([](LookupJson& file) { file["model"]["vocab"]["!"] = -4; }, "out of range");
  expect([](LookupJson& file) { file["added_tokens"][0]["lstrip"] = 3; }, "lstrip");
  expect([](LookupJson& file) { file["added_tokens"] = LookupJson::array(); }, "no added token ends a text");
}

TEST(TokenizerFile, TruncationsAreErrors) {
  for (const double part : {0.0, 0.1, 0.5, 0.999}) {
    EXPECT_THROW(from_json(gpt2_tokenizer_json().substr(
                     0, static_cast<std::size_t>(part * static_cast<double>(gpt2_tokenizer_json().size())))),
                 Error);
  }
  EXPECT_THROW(load_tokenizer("/nowhere/tokenizer.json"), Error);
  EXPECT_THROW(load_tokenizer(fixtures.string()), Error);
}

TEST(BytesTokenizer, IsTheBytes) {
  const auto tokenizer = load_tokenizer("bytes");
  const std::string text("a\0\xff\xc3\xa9", 5);
  EXPECT_EQ(tokenizer->encode(text), (std::vector<std::int32_t>{97, 0, 255, 195, 169}));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  EXPECT_EQ(tokenizer->vocab_size(), 257);
  EXPECT_THROW(tokenizer->decode({257}), Error);
}

class SentencePiece : public testing::TestWithParam<const char*> {};

TEST_P(SentencePiece, GivesThePythonPackagesIds) {
  const auto tokenizer = load_tokenizer((fixtures / (std::string(GetParam()) + ".model")).string());
  expect_ids(*tokenizer, read_json_file(fixtures / "sentencepiece-expected.json").at(GetParam()));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("the cat sat")), " the cat sat");
}

TEST_P(SentencePiece, MayBeCutAtItsSafePrefixes) {
  const auto tokenizer = load_tokenizer((fixtures / (std::string(GetParam()) + ".model")).string());
  const std::string text = " The cat sat on  the mats.\nOne day it was  gone for ever and ever";
  const std::vector<std::int32_t> expected = tokenizer->encode(text);
  std::size_t num_cuts = 0;
  for (std::size_t read = 1; read <= text.size(); ++read) {
    const std::size_t size = tokenizer->safe_prefix(std::string_view(text).substr(0, read));
    if (size == 0) continue;
    std::vector<std::int32_t> ids = tokenizer->encode(text.substr(0, size));
    tokenizer->encode_continuation(std::string_view(text).substr(size), ids);
    EXPECT_EQ(ids, expected) << size;
    ++num_cuts;
  }
  EXPECT_GT(num_cuts, 30U);
}

// Whatever comes first, the two decode to what the whole decodes to: no blank is put between them, none is lost.
TEST_P(SentencePiece, ContinuesATextAnywhere) {
  const auto tokenizer = load_tokenizer((fixtures / (std::string(GetParam()) + ".model")).string());
  const std::string text = "The wonder of 12 caf\xC3\xA9s, un-\nbroken: the\ttree. A";
  const std::string whole = tokenizer->decode(tokenizer->encode(text));
  for (std::size_t cut = 1; cut < text.size(); ++cut) {
    const bool inside_a_character = (static_cast<unsigned char>(text[cut]) & 0xC0U) == 0x80U;
    // At the end of a text this model drops blanks.
    const bool behind_a_blank = std::isspace(static_cast<unsigned char>(text[cut - 1])) != 0;
    if (inside_a_character || behind_a_blank) continue;
    std::vector<std::int32_t> ids = tokenizer->encode(text.substr(0, cut));
    tokenizer->encode_continuation(std::string_view(text).substr(cut), ids);
    EXPECT_EQ(tokenizer->decode(ids), whole) << "cut before " << text.substr(cut);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, SentencePiece, testing::Values("unigram", "bpe"));

}  // namespace
}  // namespace lookback
