#include "text/token_streams.h"

#include <gtest/gtest.h>

#include <sstream>

#include "core/error.h"
#include "core/random.h"

namespace lookback {
namespace {

const std::string fixtures = LOOKBACK_SOURCE_DIR "/tests/fixtures/tokenizers/";

using Convert = void (*)(const Tokenizer&, std::istream&, std::ostream&, const OnInputBytes&);

std::string converted(Convert convert, const Tokenizer& tokenizer, const std::string& input) {
  std::istringstream in(input);
  std::ostringstream out;
  convert(tokenizer, in, out, {});
  return out.str();
}

std::string error_of(Convert convert, const std::string& input) {
  try {
    converted(convert, *load_tokenizer("bytes"), input);
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

std::string random_text(std::size_t size) {
  static constexpr std::string_view parts[] = {" the", " cat", "'s",           "\n\n", "  ",
                                               "12",   "\xff", "\xe4\xb8\xad", ".",    " a"};
  Random random(11);
  std::string text;
  while (text.size() < size) text += parts[random.below(std::size(parts))];
  return text;
}

class TokenStreams : public testing::TestWithParam<const char*> {
 protected:
  std::unique_ptr<Tokenizer> load() const {
    const std::string name = GetParam();
    return load_tokenizer(name == "bytes" ? name : fixtures + name);
  }
};

TEST_P(TokenStreams, BlocksGiveTheIdsOfTheWhole) {
  const auto tokenizer = load();
  for (const std::string& text :
       {random_text(3'000'000), std::string(), std::string("\0\r\n\xf0\x9f", 5), std::string(2'500'000, 'a')}) {
    std::ostringstream expected;
    const char* blank = "";
    for (const std::int32_t id : tokenizer->encode(text)) {
      expected << blank << id;
      blank = " ";
    }
    expected << "\n";
    const std::string ids = converted(tokenize_text, *tokenizer, text);
    EXPECT_TRUE(ids == expected.str()) << text.size();
    EXPECT_TRUE(converted(detokenize_text, *tokenizer, ids) == text) << text.size();
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, TokenStreams, testing::Values("bytes", "split-regex.json"));

TEST(TokenStream, DropTheBlankThatSentencePieceAdds) {
  const auto tokenizer = load_tokenizer(fixtures + "unigram.model");
  EXPECT_EQ(converted(detokenize_text, *tokenizer, converted(tokenize_text, *tokenizer, "the cat")), "the cat");
}

TEST(TokenStream, AByteOrderMarkIsNoText) {
  const auto bytes = load_tokenizer("bytes");
  EXPECT_EQ(converted(tokenize_text, *bytes, "\xEF\xBB\xBFhi"), "104 105\n");
  EXPECT_EQ(converted(tokenize_text, *bytes, "\xEF\xBB\xBF"), "\n");
  EXPECT_EQ(converted(tokenize_text, *bytes, "h\xEF\xBB\xBF"), "104 239 187 191\n");
}

TEST(TokenStream, LinesOfJson) {
  const auto bytes = load_tokenizer("bytes");
  const std::string texts = "{\"text\":\"a\\u0000\\n\"}\n{\"text\":\"\"}\n{\"text\":\"\xc3\xa9\"}\n";
  const std::string ids = "{\"ids\":[97,0,10]}\n{\"ids\":[]}\n{\"ids\":[195,169]}\n";
  EXPECT_EQ(converted(tokenize_lines, *bytes, texts), ids);
  EXPECT_EQ(converted(detokenize_lines, *bytes, ids), texts);
  EXPECT_EQ(converted(tokenize_lines, *bytes, "{\"id\": 3, \"text\": \"b\"}\r\n{\"text\": \"c\"}"),
            "{\"ids\":[98]}\n{\"ids\":[99]}\n");
  EXPECT_EQ(converted(detokenize_lines, *bytes, "{\"ids\":[195]}\n"), "{\"text\":\"\xef\xbf\xbd\"}\n");
  EXPECT_EQ(converted(tokenize_lines, *bytes, ""), "");
  EXPECT_EQ(
      converted(tokenize_lines, *bytes, "\xEF\xBB\xBF{\"text\":\"a\",\"n\":1e999}\r\n\r\n \n{\"text\":\"b\"}\n\n"),
      "{\"ids\":[97]}\n{\"ids\":[98]}\n");
}

TEST(TokenStream, ErrorsNameTheLine) {
  const auto expect = [](Convert convert, const std::string& input, const char* part) {
    const std::string message = error_of(convert, input);
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  const std::string good = "{\"text\":\"a\"}\n";
  expect(tokenize_lines, good + "{\"text\":\"\\ud800\"}\n", "line 2: not valid JSON");  // half of a surrogate pair
  expect(tokenize_lines, good + good + "{\"text\":\"\xff\"}", "line 3: not valid JSON");
  expect(tokenize_lines, good + "\n{", "line 3: not valid JSON (at byte 2 of the line, where it ends too early)");
  expect(tokenize_lines, "{\"texts\":\"a\"}", "line 1: field \"text\": is missing");
  expect(tokenize_lines, "[1]", "line 1: expected an object");
  expect(detokenize_lines, "{\"ids\":[1]}\n{\"ids\":[1,257]}",
         "line 2: field \"ids\": expected token ids from 0 to 256, found 257");
  expect(detokenize_lines, "{\"ids\":[-1]}", "found -1");
  expect(detokenize_lines, "{\"ids\":[1.5]}", "found 1.5");
  expect(detokenize_lines, "{\"ids\":\"1 2\"}", "expected a list of token ids");
  expect(detokenize_text, "1 2\n3 x4\n", "line 2: expected token ids from 0 to 256, separated by blanks; found \"x4\"");
  expect(detokenize_text, "257", "line 1");
  expect(detokenize_text, "1\n\n-1", "line 3");
  expect(detokenize_text, "99999999999", "found \"99999999999\"");
  expect(detokenize_text, std::string(100, '1'), "line 1");
}

TEST(TokenStream, AFullDiskIsAnError) {
  std::istringstream in("a");
  std::ostringstream out;
  out.setstate(std::ios::badbit);
  EXPECT_THROW(tokenize_text(*load_tokenizer("bytes"), in, out), Error);
}

}  // namespace
}  // namespace lookback
