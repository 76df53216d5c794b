#include "generate/token_ids.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace lookback {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string message_of(const std::string& text) {
  try {
    parse_token_ids(parse_json(text, "F.json"), "F.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(TokenIds, ListBatchAndObject) {
  EXPECT_THAT(parse_token_ids(parse_json("[1, 2, 3]", "f"), "f"), ElementsAre(ElementsAre(1, 2, 3)));
  EXPECT_THAT(parse_token_ids(parse_json("[[1, 2], [3, 4]]", "f"), "f"),
              ElementsAre(ElementsAre(1, 2), ElementsAre(3, 4)));
  EXPECT_THAT(parse_token_ids(parse_json("{\"ids\": [7], \"text\": null}", "f"), "f"), ElementsAre(ElementsAre(7)));
  EXPECT_THAT(parse_token_ids(parse_json("[]", "f"), "f"), ElementsAre(ElementsAre()));
}

TEST(TokenIds, WrongShapesAreNamed) {
  EXPECT_THAT(message_of("\"text\""), HasSubstr("F.json: expected a list of token ids, found string"));
  EXPECT_THAT(message_of("{\"id\": [1]}"), HasSubstr("field \"ids\""));
  EXPECT_THAT(message_of("[1, 2.5]"), HasSubstr("token 1 is no integer but 2.5"));
  EXPECT_THAT(message_of("[1, null]"), HasSubstr("token 1"));
  EXPECT_THAT(message_of("[1, [2]]"), HasSubstr("token 1"));
  EXPECT_THAT(message_of("[[1], 2]"), HasSubstr("expected a list of token ids, found number"));
  EXPECT_THAT(message_of("[[1], [2, 3]]"), HasSubstr("equally long, found 1 and 2"));
  EXPECT_THAT(message_of("[1, 99999999999999999999]"), HasSubstr("token 1"));
  EXPECT_THAT(message_of("[18446744073709551615]"), HasSubstr("token 0"));
  EXPECT_THAT(message_of("[1, 2"), HasSubstr("not valid JSON"));
}

}  // namespace
}  // namespace lookback
