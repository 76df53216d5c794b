#include "text/utf8.h"

#include <gtest/gtest.h>

#include "text/utf8_stream.h"

namespace lookback {
namespace {

TEST(Utf8, KnowsWhereValidTextEnds) {
  EXPECT_EQ(valid_utf8_prefix("plain ascii, long enough for words"), 34U);
  EXPECT_EQ(valid_utf8_prefix("caf\xc3\xa9"), 5U);
  EXPECT_EQ(valid_utf8_prefix("ab\xff"), 2U);
  EXPECT_EQ(valid_utf8_prefix("ab\xc0\xaf"), 2U);        // overlong
  EXPECT_EQ(valid_utf8_prefix("\xed\xa0\x80"), 0U);      // surrogate
  EXPECT_EQ(valid_utf8_prefix("\xf0\x9f\x98\x80"), 4U);  // U+1F600
  EXPECT_EQ(valid_utf8_prefix("\xf4\x90\x80\x80"), 0U);  // above U+10FFFF
  EXPECT_EQ(valid_utf8_prefix("\xf0\x9f\x98"), 0U);      // cut off
  EXPECT_TRUE(is_utf8_character_start("\xf0\x9f\x98"));
  EXPECT_FALSE(is_utf8_character_start("\xf0\x9f\x41"));
}

TEST(Utf8Stream, ReleasesWholeCharactersOnly) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("a\xf0\x9f"), "a");
  EXPECT_EQ(stream.push("\x98"), "");
  EXPECT_EQ(stream.push("\x80z"), "\xf0\x9f\x98\x80z");
  EXPECT_EQ(stream.push("\xff!"), "\xef\xbf\xbd!");
  EXPECT_EQ(stream.push("\xc3"), "");
  EXPECT_EQ(stream.flush(), "\xef\xbf\xbd");
  EXPECT_EQ(stream.flush(), "");
}

}  // namespace
}  // namespace lookback
