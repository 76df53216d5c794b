#include "report/text_table.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace lookback {
namespace {

TEST(TextTable, AlignsCharactersNotBytes) {
  EXPECT_EQ(text_table({{"tokens", "×"}, {"496", "1×"}, {"507,904", "–"}}, " "),
            "  tokens   ×\n"
            " -------  --\n"
            "     496  1×\n"
            " 507,904   –\n");
}

TEST(TextTable, RefusesRaggedRows) { EXPECT_THROW(text_table({{"a", "b"}, {"c"}}, ""), Error); }

}  // namespace
}  // namespace lookback
