// tokenizer.json files with holes, choices of the user's, and files that are broken or made to do harm.
#include <gtest/gtest.h>

#include <filesystem>

#include "core/error.h"
#include "core/files.h"
#include "text/byte_alphabet.h"
#include "text/fixture_files.h"
#include "text/normalizer.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

using Ids = std::vector<std::int32_t>;

// A byte-level file: the bytes, then the merges' tokens, then <|endoftext|>.
Json small_file(const std::string& pattern, const std::vector<std::pair<std::string, std::string>>& merges,
                std::int64_t end_of_text) {
  Json vocabulary = Json::object();
  for (unsigned byte = 0; byte < 256; ++byte) vocabulary[byte_symbol(static_cast<unsigned char>(byte))] = byte;
  Json pairs = Json::array();
  for (const auto& [left, right] : merges) {
    vocabulary[left + right] = vocabulary.size();
    pairs.push_back({left, right});
  }
  const Json split = {
      {"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  return {{"added_tokens", {{{"id", end_of_text}, {"content", "<|endoftext|>"}, {"special", true}}}},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {split, byte_level}}}},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", pairs}}}};
}

Json usual_file() { return small_file(" ?\\p{L}+|\\s+|.", {{"t", "h"}}, 257); }

// What a patch of the usual file is refused for.
std::string refusal_with(const Json& patch) {
  Json file = usual_file();
  file.merge_patch(patch);
  return refusal_of(file.dump());
}

void expect_refused(const Json& patch, const std::string& part) {
  const std::string message = refusal_with(patch);
  EXPECT_NE(message.find(part), std::string::npos) << message;
  EXPECT_NE(message.find(".json"), std::string::npos) << message;
}

TEST(TokenizerPattern, IsOniguruma) {
  const auto intersection =
      tokenizer_from(small_file("[\\p{Ll}&&[^\\p{Han}]]+|\\s+|.", {{"a", "b"}, {"ab", "c"}}, 258).dump());
  EXPECT_EQ(intersection->encode("abc"), (Ids{257}));
  const auto interval = tokenizer_from(small_file("\\p{N}{1,3}+|\\P{N}+", {{"3", "4"}}, 257).dump());
  EXPECT_EQ(interval->encode("1234"), (Ids{49, 50, 256}));
}

TEST(TokenizerFile, NormalFormsComeFirst) {
  Json file = usual_file();
  file["normalizer"] = {{"type", "NFC"}};
  EXPECT_EQ(tokenizer_from(file.dump())->encode("e\u0301"), (Ids{0xc3, 0xa9}));
}

// The values are those of the `tokenizers` package.
TEST(TokenizerFile, CharactersYoungerThanUnicode9KeepTheirPlace) {
  EXPECT_EQ(normalized("a\u0898\u0327", NormalForm::nfd), "a\u0898\u0327");
  EXPECT_EQ(normalized("\u32ff\u3392", NormalForm::nfkc), "\u32ffMHz");
  EXPECT_EQ(lower_case("\u0130\ua7dc"), "i\u0307\u019b");
}

TEST(TokenizerFile, MergesReachOverBlanks) {
  const Json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}};
  const Json back = {{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}};
  const Json vocabulary = {{"▁", 0}, {"a", 1}, {"b", 2}, {"a▁", 3}, {"▁b", 4}};
  const Json merges = Json::array({Json::array({"a", "▁"}), Json::array({"▁", "b"})});
  const Json file = {{"added_tokens", Json::array({{{"id", 5}, {"content", "</s>"}}})},
                     {"normalizer", replace},
                     {"decoder", back},
                     {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", merges}}}};
  const auto tokenizer = tokenizer_from(file.dump());
  EXPECT_EQ(tokenizer->encode("a b"), (Ids{3, 2}));
  EXPECT_EQ(tokenizer->encode("b b"), (Ids{2, 4}));
  EXPECT_EQ(tokenizer->safe_prefix("b a b"), 1U);
}

TEST(TokenizerFile, IdsThatBelongToNothing) {
  const auto tokenizer = tokenizer_from(small_file(" ?\\p{L}+|\\s+|.", {{"t", "h"}}, 300).dump());
  EXPECT_EQ(tokenizer->vocab_size(), 301);
  const Ids unused = tokenizer->unused_ids();
  ASSERT_EQ(unused.size(), 43U);
  EXPECT_EQ(unused.front(), 257);
  EXPECT_EQ(unused.back(), 299);
  EXPECT_EQ(tokenizer->decode(Ids{256, 257, 299, 300}), "th<|endoftext|>");
  EXPECT_THROW(tokenizer->decode(Ids{301}), Error);
}

TEST(TokenizerChoices, EndOfText) {
  Json file = usual_file();
  file["added_tokens"][0]["content"] = "<stop>";
  const std::string message = refusal_of(file.dump());
  EXPECT_NE(message.find("say which one does"), std::string::npos) << message;
  EXPECT_EQ(tokenizer_from(file.dump(), {"<stop>", false})->end_of_text_id(), 257);
  EXPECT_EQ(tokenizer_from(file.dump(), {"th", false})->end_of_text_id(), 256);
  EXPECT_THROW(tokenizer_from(file.dump(), {"<nothing>", false}), Error);
  EXPECT_THROW(load_tokenizer("bytes", {"<stop>", false}), Error);
}

TEST(TokenizerChoices, SpecialTokensAsText) {
  const std::string content = usual_file().dump();
  EXPECT_EQ(tokenizer_from(content)->encode("a<|endoftext|>"), (Ids{'a', 257}));
  const auto plain = tokenizer_from(content, {"", true});
  const std::string text = "a<|endoftext|>";
  EXPECT_EQ(plain->encode(text), Ids(text.begin(), text.end()));
  EXPECT_EQ(plain->end_of_text_id(), 257);
}

TEST(TokenizerChoices, ChangeTheFingerprintOnlyWithTheIds) {
  const std::string content = usual_file().dump();
  const std::string plain = tokenizer_from(content)->fingerprint();
  EXPECT_EQ(tokenizer_from(content, {"<|endoftext|>", false})->fingerprint(), plain);
  EXPECT_NE(tokenizer_from(content, {"th", false})->fingerprint(), plain);
  EXPECT_NE(tokenizer_from(content, {"", true})->fingerprint(), plain);
}

TEST(TokenizerChoices, AreKeptWithASavedTokenizer) {
  const fs::path folder = fs::path(testing::TempDir()) / "lookback-test-tokenizer-choices";
  fs::remove_all(folder);
  fs::create_directories(folder);
  const std::string content = usual_file().dump();
  const auto chosen = tokenizer_from(content, {"th", true});
  chosen->save(folder);
  const auto loaded = load_tokenizer(folder.string());
  EXPECT_EQ(loaded->fingerprint(), chosen->fingerprint());
  EXPECT_EQ(loaded->end_of_text_id(), 256);
  EXPECT_EQ(loaded->encode("<|endoftext|>").size(), 13U);
  tokenizer_from(content)->save(folder);  // no choice is left behind
  EXPECT_EQ(load_tokenizer(folder.string())->end_of_text_id(), 257);
}

TEST(TokenizerFile, UnknownPartsAreNamed) {
  expect_refused({{"model", {{"type", "Unigram"}}}}, "model type \"Unigram\" is not supported");
  expect_refused({{"model", {{"surprise", 1}}}}, "model: the field \"surprise\"");
  expect_refused({{"surprise", 1}}, "the field \"surprise\"");
  expect_refused({{"model", {{"end_of_word_suffix", "</w>"}}}}, "end_of_word_suffix");
  for (const char* type : {"StripAccents", "Nmt", "Precompiled", "BertNormalizer", "ByteLevel"}) {
    expect_refused({{"normalizer", {{"type", type}}}}, "normalizer type \"" + std::string(type) + "\"");
  }
  expect_refused({{"normalizer", {{"type", "NFC"}, {"strength", 2}}}}, "normalizer NFC: the field \"strength\"");
  expect_refused({{"decoder", {{"type", "CTC"}}}}, "decoder type \"CTC\"");
  expect_refused({{"decoder", {{"type", "Sequence"}, {"decoders", {{{"type", "Fuse"}}, {{"type", "ByteFallback"}}}}}}},
                 "decoder ByteFallback: behind Fuse");
}

TEST(TokenizerFile, ContradictionsAndWrongIdsAreErrors) {
  expect_refused({{"model", {{"vocab", {{"x-y", -1}}}}}}, "out of range");
  expect_refused({{"model", {{"vocab", {{"x-y", 5'000'000}}}}}}, "out of range");
  expect_refused({{"model", {{"vocab", {{"x-y", 18446744073709551615ULL}}}}}}, "out of range");
  expect_refused({{"model", {{"vocab", {{"x-y", 3}}}}}}, "id 3 is there twice");
  expect_refused({{"model", {{"vocab", {{"x-y", 3.5}}}}}}, "is no integer");
  expect_refused({{"model", {{"vocab", {{"th", nullptr}}}}}}, "merge 0 needs the token \"th\"");
  expect_refused({{"model", {{"merges", {"t h t"}}}}}, "merge 0 is no pair");
  expect_refused({{"model", {{"vocab", Json::array({1, 2})}}}}, "vocab: expected a mapping");
  const auto added = [](std::int64_t id, const char* content) { return Json{{"id", id}, {"content", content}}; };
  const auto with_added = [](const Json& tokens) { return Json{{"added_tokens", tokens}}; };
  expect_refused(with_added(Json::array({added(-1, "<eos>")})), "out of range");
  expect_refused(with_added(Json::array({added(257, "")})), "without content");
  expect_refused(with_added(Json::array({added(257, "<eos>"), added(257, "<pad>")})), "two tokens have id 257");
  expect_refused(with_added(Json::array({added(257, "<eos>"), added(258, "<eos>")})), "has the ids 257 and 258");
  expect_refused(with_added(Json::array({added(256, "<eos>")})), "id 256 of \"<eos>\" is that of \"th\" in vocab");
  expect_refused(with_added(Json::array({added(300, "th")})), "\"th\" has id 300 here and 256 in vocab");
}

TEST(TokenizerFile, DeepAndEndlessStructuresAreErrors) {
  Json deep = {{"type", "NFC"}};
  for (int i = 0; i < 40; ++i) deep = {{"type", "Sequence"}, {"normalizers", Json::array({deep})}};
  expect_refused({{"normalizer", deep}}, "nested more than");
  EXPECT_NE(refusal_of(std::string(200'000, '[')), "none");
  EXPECT_NE(refusal_of("{\"model\":" + std::string(200'000, '[')), "none");
  expect_refused({{"normalizer", {{"type", "Replace"}, {"pattern", {{"Regex", "x*"}}}, {"content", "y"}}}},
                 "matches the empty text");
}

}  // namespace
}  // namespace lookback
