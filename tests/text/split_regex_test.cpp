// A tokenizer of the Llama 3 kind (Split by a regular expression, then ByteLevel; added tokens of both rounds),
// trained for this test; the expected ids are those of the Python package `tokenizers`.
#include <gtest/gtest.h>
#include <unistd.h>

#include "core/error.h"
#include "core/files.h"
#include "core/json.h"
#include "text/tokenizer.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

const fs::path fixtures = LOOKBACK_SOURCE_DIR "/tests/fixtures/tokenizers";

const Tokenizer& tokenizer() {
  static const std::unique_ptr<Tokenizer> loaded = load_tokenizer((fixtures / "split-regex.json").string());
  return *loaded;
}

TEST(SplitRegexTokenizer, GivesThePythonPackagesIds) {
  const Json cases = read_json_file(fixtures / "split-regex-expected.json");
  ASSERT_GT(cases.size(), 200U);
  for (const Json& sample : cases) {
    const auto text = sample.at("text").get<std::string>();
    EXPECT_EQ(tokenizer().encode(text), sample.at("ids").get<std::vector<std::int32_t>>()) << dump_line(sample);
    EXPECT_EQ(tokenizer().decode(tokenizer().encode(text)), text);
  }
}

TEST(SplitRegexTokenizer, LongRunsOverflowNothing) {
  for (const char c : {'a', ' ', '.', '\n', '1', '\'', '\xff'}) {
    const std::string run(std::size_t{1} << 18U, c);
    EXPECT_EQ(tokenizer().decode(tokenizer().encode(run)), run) << static_cast<int>(c);
  }
}

TEST(SplitRegexTokenizer, MayBeCutAtItsSafePrefixes) {
  const std::string text =
      "One day, the cat's 12 kittens'll  sat \n\n on 中文。e\u0301 <|end_of_text|> mats\xff a\n\nb ";
  const std::vector<std::int32_t> expected = tokenizer().encode(text);
  std::size_t num_cuts = 0;
  for (std::size_t read = 1; read <= text.size(); ++read) {  // every place that any prefix of the text shows
    const std::size_t size = tokenizer().safe_prefix(std::string_view(text).substr(0, read));
    std::vector<std::int32_t> ids;
    if (size > 0) tokenizer().encode(std::string_view(text).substr(0, size), ids);
    size > 0 ? tokenizer().encode_continuation(std::string_view(text).substr(size), ids)
             : tokenizer().encode(text, ids);
    EXPECT_EQ(ids, expected) << size;
    if (size > 0) ++num_cuts;
  }
  EXPECT_GT(num_cuts, 40U);
  EXPECT_EQ(tokenizer().safe_prefix("the cat sat"), 7U);
  EXPECT_EQ(tokenizer().safe_prefix("the cat "), 7U);
  EXPECT_EQ(tokenizer().safe_prefix("文。"), 3U);
  EXPECT_EQ(tokenizer().safe_prefix(std::string_view("文。").substr(0, 5)), 0U);  // the next character is not whole
  EXPECT_EQ(tokenizer().safe_prefix("<|end_of"), 0U);
  EXPECT_EQ(tokenizer().safe_prefix("thecat"), 0U);
  EXPECT_EQ(tokenizer().safe_prefix(""), 0U);
}

std::string error_of(const Json& file) {
  const fs::path path =
      fs::path(testing::TempDir()) / ("lookback-test-split-regex-" + std::to_string(::getpid()) + ".json");
  write_file_atomic(path, dump_line(file));
  try {
    load_tokenizer(path.string());
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

TEST(SplitRegexTokenizer, WhatIsNotSupportedIsNamed) {
  const Json good = read_json_file(fixtures / "split-regex.json");
  const auto expect = [&](const Json& patch, const char* part) {
    Json file = good;
    file.merge_patch(patch);
    const std::string message = error_of(file);
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  const Json split = good["pre_tokenizer"]["pretokenizers"][0];
  const Json byte_level = good["pre_tokenizer"]["pretokenizers"][1];
  const auto sequence = [](const Json& parts) { return Json{{"pre_tokenizer", {{"pretokenizers", parts}}}}; };
  expect(sequence({{{"type", "UnicodeScripts"}}, byte_level}),
         "pre_tokenizer type \"UnicodeScripts\" is not supported");
  expect(sequence({byte_level, byte_level}), "ByteLevel behind ByteLevel is not supported");
  Json changed = split;
  changed["behavior"] = "Replaced";
  expect(sequence({changed, byte_level}), "behavior \"Replaced\" is not supported");
  changed = split;
  changed["pattern"]["Regex"] = "(unclosed";
  expect(sequence({changed, byte_level}), "the pattern (unclosed is not supported");
  expect({{"truncation", {{"max_length", 512}}}}, "truncation");
  expect({{"padding", {{"strategy", "BatchLongest"}}}}, "padding");
  expect({{"decoder", {{"type", "WordPiece"}}}}, "decoder type \"WordPiece\"");
  expect({{"added_tokens", Json::array({{{"id", 5'000'000'000}, {"content", "<|endoftext|>"}}})}}, "out of range");
}

// Every value of the file, one after the other, replaced by others of each type: an Error, or a tokenizer; never a
// crash or another exception.
TEST(SplitRegexTokenizer, WrongTypesAreErrors) {
  const Json good = read_json_file(fixtures / "split-regex.json");
  const Json flat = good.flatten();
  int refused = 0;
  for (const auto& [pointer, value] : flat.items()) {
    const bool one_of_many = pointer.starts_with("/model/vocab/") || pointer.starts_with("/model/merges/");
    if (one_of_many && !pointer.ends_with("7")) continue;
    Json::json_pointer place(pointer);
    for (; !place.empty(); place = place.parent_pointer()) {
      for (const Json& wrong : {Json(nullptr), Json(-1), Json(1.5), Json("text"), Json::array({1}), Json{{"a", 1}}}) {
        Json file = good;
        file[place] = wrong;
        if (error_of(file) != "none") ++refused;
      }
      if (one_of_many) break;
    }
  }
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace lookback
