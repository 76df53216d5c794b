#include "core/counted.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace lookback {
namespace {

TEST(Counted, OneIsNotMany) {
  EXPECT_EQ(counted(1, "document"), "1 document");
  EXPECT_EQ(counted(0, "document"), "0 documents");
  EXPECT_EQ(counted(std::int64_t{21}, "document"), "21 documents");
  EXPECT_EQ(counted(std::vector<int>(1).size(), "token"), "1 token");
  EXPECT_EQ(counted("1.00K", "token"), "1.00K tokens");
}

}  // namespace
}  // namespace lookback
