// The scanners against Oniguruma's own matches of the same patterns.
#include "text/word_scanners.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/random.h"
#include "text/character_classes.h"
#include "text/fixture_files.h"
#include "text/regex.h"
#include "text/utf8.h"

namespace lookback {
namespace {

constexpr const char* llama3_pattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+"
    "|\\s+(?!\\S)|\\s+";
constexpr const char* qwen2_pattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+"
    "|\\s+(?!\\S)|\\s+";

std::string random_text(Random& random) {
  static constexpr std::string_view parts[] = {"a",      "Z", " ",      "  ",         "\n",         "\r\n",
                                               "\t",     "'", "s",      "S",          "LL",         "'ve",
                                               "ſ",      "1", "23",     "é",          "中",         "½",
                                               "٣",      ".", "\u00a0", "\u3000",     "e\u0301",    "\U0001f469\u200d",
                                               "\u180e", "-", "\u0085", "\U0001e030", "\U00010d4a", "\v"};
  std::string text;
  for (std::uint64_t size = 1 + random.below(14); size > 0; --size) text += parts[random.below(std::size(parts))];
  return text;
}

TEST(WordScanners, CutAsOnigurumaDoes) {
  std::vector<std::string> texts =
      parse_json(gunzip_fixture("families/texts.json.gz"), "texts").get<std::vector<std::string>>();
  Random random(5);
  for (int i = 0; i < 4000; ++i) texts.push_back(random_text(random));
  for (const char* pattern : {gpt2_pattern, llama3_pattern, qwen2_pattern}) {
    const WordScanner scanner = find_word_scanner(pattern);
    ASSERT_NE(scanner, nullptr);
    const Regex regex(pattern, "test");
    for (const std::string& text : texts) {
      std::vector<std::size_t> ends;
      for (std::size_t begin = 0; begin < text.size(); begin = ends.back()) ends.push_back(scanner(text, begin));
      std::vector<std::size_t> expected;
      regex.for_each_span(text, [&](const Span& span) { expected.push_back(span.end); });
      ASSERT_EQ(ends, expected) << pattern << "\n" << dump_line(text);
    }
  }
  EXPECT_EQ(find_word_scanner("\\p{L}+"), nullptr);
}

TEST(Regex, KnowsTheCategoriesOfUnicode16) {
  const Regex letter("\\A\\p{L}\\z", "test");
  const Regex number("\\A\\p{N}\\z", "test");
  const Regex space("\\A\\s\\z", "test");
  for (char32_t code = 0; code < 0x110000; ++code) {
    if (code >= 0xd800 && code < 0xe000) continue;
    std::string text;
    append_character(code, text);
    ASSERT_EQ(letter.find(text, 0).has_value(), is_letter(code)) << static_cast<unsigned>(code);
    ASSERT_EQ(number.find(text, 0).has_value(), is_number(code)) << static_cast<unsigned>(code);
    ASSERT_EQ(space.find(text, 0).has_value(), is_white_space(code)) << static_cast<unsigned>(code);
  }
  EXPECT_TRUE(is_letter(0x1e030));  // of Unicode 15
  EXPECT_TRUE(is_letter(0x10d4a));  // of Unicode 16
}

TEST(Regex, CatastrophicBacktrackingIsAnError) {
  const std::string text = std::string(40'000, 'a') + "!b";  // the last byte keeps the search from giving up at once
  for (const char* pattern : {"(?:a|aa)+$b", "(?:aa|aaa)+[bc]", "(?:a|a?a)*[bc]"}) {
    try {
      Regex(pattern, "hostile.json").find(text, 0);
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("hostile.json: the pattern"), std::string::npos) << error.what();
      continue;
    }
    FAIL() << pattern;
  }
}

TEST(Regex, LiteralTextIsEscaped) {
  for (const char* text : {"a.b", "[x]", "(?:", "^$", "{1,2}", "\\p{L}", "a|b", "#&-~", "+*?"}) {
    const auto found = Regex(escaped_pattern(text), "test").find(std::string("..") + text, 0);
    ASSERT_TRUE(found.has_value()) << text;
    EXPECT_EQ(found->begin, 2U) << text;
  }
}

}  // namespace
}  // namespace lookback
