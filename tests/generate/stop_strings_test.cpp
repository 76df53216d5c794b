#include "generate/stop_strings.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace lookback {
namespace {

// What is shown of `text` when it comes in pieces of `piece_size` bytes.
std::string shown(const std::vector<std::string>& stops, const std::string& text, std::size_t piece_size,
                  bool* stopped = nullptr) {
  StopStrings stream(stops);
  std::string result;
  for (std::size_t begin = 0; begin < text.size(); begin += piece_size) {
    result += stream.push(text.substr(begin, piece_size));
  }
  result += stream.finish();
  if (stopped != nullptr) *stopped = stream.stopped();
  return result;
}

TEST(StopStrings, EndTheTextWhereverTokensEnd) {
  for (std::size_t piece_size = 1; piece_size < 20; ++piece_size) {
    SCOPED_TRACE(piece_size);
    bool stopped = false;
    EXPECT_EQ(shown({"\n\nQ:"}, "An answer.\nMore\n\nQ: next", piece_size, &stopped), "An answer.\nMore");
    EXPECT_TRUE(stopped);
    EXPECT_EQ(shown({"\n\nQ:"}, "An answer.\n\nQ", piece_size, &stopped), "An answer.\n\nQ");
    EXPECT_FALSE(stopped);
    EXPECT_EQ(shown({"aab"}, "aaaab", piece_size), "aa");
    EXPECT_EQ(shown({"abcd", "bc"}, "abcd", piece_size), "a");
    EXPECT_EQ(shown({"bc", "abc"}, "xabcd", piece_size), "x");
    EXPECT_EQ(shown({"stop"}, "stop", piece_size), "");
    EXPECT_EQ(shown({}, "anything", piece_size), "anything");
  }
}

TEST(StopStrings, HoldBackOnlyWhatCouldBeAStopString) {
  StopStrings stream({"END", "DONE"});
  EXPECT_EQ(stream.push("the E"), "the ");
  EXPECT_EQ(stream.push("N"), "");
  EXPECT_EQ(stream.push("x"), "ENx");
  EXPECT_EQ(stream.push("EN"), "");
  EXPECT_EQ(stream.push("ENDing"), "EN");
  EXPECT_TRUE(stream.stopped());
  EXPECT_EQ(stream.push("more"), "");
  EXPECT_EQ(stream.finish(), "");
}

TEST(StopStrings, RefuseAnEmptyOne) { EXPECT_THROW(StopStrings({"a", ""}), Error); }

}  // namespace
}  // namespace lookback
