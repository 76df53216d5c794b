#include "core/stored_text.h"

#include <gtest/gtest.h>

#include <string>

#include "core/json.h"

namespace lookback {
namespace {

TEST(StoredText, AnyNameComesBackThroughJson) {
  for (const std::string& name : {std::string("a.txt"),
                                  std::string("gr\xC3\xB6\xC3\x9F"
                                              "e"),
                                  std::string("\xff.txt"),
                                  std::string("gr\xF6\xDF"
                                              "e \xC3\xB6"),
                                  std::string(), std::string("\xEF\xBF\xBD")}) {
    const Json stored = stored_text(name);
    EXPECT_EQ(bytes_of_stored_text(parse_json(stored.dump(), "name").get<std::string>()), name);
  }
  EXPECT_EQ(stored_text("gr\xC3\xB6\xC3\x9F"
                        "e"),
            "gr\xC3\xB6\xC3\x9F"
            "e");
  EXPECT_EQ(stored_text("a\xFF"
                        "1"),
            std::string("a\0ff1", 5));
}

TEST(StoredText, WhatIsNoneStandsForItself) {
  for (const std::string& text : {std::string("\0", 1), std::string("a\0f", 3), std::string("\0-1", 3)}) {
    EXPECT_EQ(bytes_of_stored_text(text), text);
  }
}

}  // namespace
}  // namespace lookback
