#include "core/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>

#include "core/error.h"

namespace lookback {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::ThrowsMessage;

TEST(Json, ParsingKeepsTheOrderOfKeys) {
  EXPECT_EQ(dump_line(parse_json(R"({"z": 1, "a": [2, null]})", "here")), R"({"z":1,"a":[2,null]})");
}

TEST(Json, WhatIsNoJsonNamesItsSourceAndPlace) {
  EXPECT_THAT([] { parse_json("{\"a\": 1,\n \"b\" 2}", "config.json"); },
              ThrowsMessage<Error>(AllOf(HasSubstr("config.json: not valid JSON"), HasSubstr("line 2"))));
  EXPECT_THAT([] { parse_json("", "empty.json"); }, ThrowsMessage<Error>(HasSubstr("empty.json")));
  EXPECT_THAT([] { parse_json("\"\xff\"", "bytes.json"); }, ThrowsMessage<Error>(HasSubstr("bytes.json")));
}

// A file of brackets must not overflow the stack.
TEST(Json, DeepNestingIsReadOrRefusedWithoutACrash) {
  const std::string open(200'000, '[');
  EXPECT_THROW(parse_json(open, "deep.json"), Error);
  const Json deep = parse_json(open + std::string(200'000, ']'), "deep.json");
  EXPECT_TRUE(deep.is_array());
}

TEST(Json, AFieldHasItsType) {
  const Json value = parse_json(R"({"count": 3, "name": "x", "nothing": null})", "here");
  EXPECT_EQ(json_field<std::int64_t>(value, "count", "here"), 3);
  EXPECT_EQ(json_field<std::string>(value, "name", "here"), "x");
  EXPECT_EQ(json_field_or<std::int64_t>(value, "absent", 7, "here"), 7);
  EXPECT_EQ(json_field_or<std::int64_t>(value, "nothing", 7, "here"), 7);
  EXPECT_EQ(json_field_or<std::int64_t>(value, "count", 7, "here"), 3);
}

TEST(Json, AWrongFieldIsNamedWithItsSource) {
  const Json value = parse_json(R"({"count": "three"})", "here");
  EXPECT_THAT([&] { json_field<std::int64_t>(value, "count", "m/config.json"); },
              ThrowsMessage<Error>(AllOf(HasSubstr("m/config.json"), HasSubstr("\"count\""), HasSubstr("string"))));
  EXPECT_THAT([&] { json_field<std::int64_t>(value, "size", "m/config.json"); },
              ThrowsMessage<Error>("m/config.json: field \"size\": is missing"));
  EXPECT_THAT([&] { json_field_or<std::int64_t>(value, "count", 1, "m/config.json"); },
              ThrowsMessage<Error>(HasSubstr("\"count\"")));
  EXPECT_THAT([] { json_field<int>(Json::array(), "size", "list.json"); },
              ThrowsMessage<Error>(AllOf(HasSubstr("list.json"), HasSubstr("expected an object"))));
}

TEST(Json, OneLineHoldsAnyBytes) {
  const std::string line = dump_line(Json{{"text", "a\nb\xff"}});
  EXPECT_EQ(line, "{\"text\":\"a\\nb\xEF\xBF\xBD\"}");
  EXPECT_THAT(line, Not(HasSubstr("\n")));
}

}  // namespace
}  // namespace lookback
