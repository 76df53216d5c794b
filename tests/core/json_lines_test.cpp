#include "core/json_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/error.h"

namespace lookback {
namespace {

using testing::ElementsAre;
using testing::ThrowsMessage;

std::vector<std::string> visited(const std::string& text) {
  std::vector<std::string> lines;
  visit_json_lines(text, "f", [&](const Json& value, const std::string& source) {
    lines.push_back(source + " " + dump_line(value));
  });
  return lines;
}

TEST(JsonLines, BlankLinesAreCountedAndPassedOver) {
  EXPECT_THAT(visited("\n1\n \t\r\n\r\n[2]\r\n\n\n3"), ElementsAre("f, line 2 1", "f, line 5 [2]", "f, line 8 3"));
  EXPECT_THAT(visited(""), ElementsAre());
  EXPECT_THAT(visited("\xEF\xBB\xBF\n\xEF\xBB\xBF{}"), ElementsAre("f, line 2 {}"));
}

TEST(JsonLines, ANumberThatNothingHoldsIsNull) {
  EXPECT_THAT(visited(R"({"a": 1e999, "b": [-1E+400, 2.5], "c": "1e999 \" 1e999"})"),
              ElementsAre(R"(f, line 1 {"a":null,"b":[null,2.5],"c":"1e999 \" 1e999"})"));
  EXPECT_THAT(visited(std::string(400, '9')), ElementsAre("f, line 1 null"));
  EXPECT_THAT(visited("1e-999"), ElementsAre("f, line 1 0.0"));
}

TEST(JsonLines, ErrorsNameTheLineInOurWords) {
  EXPECT_THAT([] { visited("1\n\n{\"a\": 1e999, x}"); },
              ThrowsMessage<Error>("f, line 3: not valid JSON (at byte 14 of the line)"));
  EXPECT_THAT([] { visited("{\"a\": \"unfinished"); },
              ThrowsMessage<Error>("f, line 1: not valid JSON (at byte 18 of the line, where it ends too early)"));
}

}  // namespace
}  // namespace lookback
