#include "core/parse_list.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/units.h"

namespace lookback {
namespace {

TEST(ParseList, SizesTakeBinaryUnits) {
  EXPECT_EQ(parse_sizes("512,4K,1m", "--lengths"), (std::vector<std::int64_t>{512, 4096, 1048576}));
  for (const char* text : {"", "4K,", "0", "-4", "4G", "4 K", "K", "99999999999999999999", "9999999999M"}) {
    EXPECT_THROW(parse_sizes(text, "--lengths"), Error) << text;
  }
}

TEST(ParseList, PercentsBecomeFractions) {
  EXPECT_EQ(parse_percents("0,12.5,100", "--depths"), (std::vector<double>{0, 0.125, 1}));
  for (const char* text : {"", "101", "-1", "nan", "50%", "0,,1"}) {
    EXPECT_THROW(parse_percents(text, "--depths"), Error) << text;
  }
}

TEST(ParseList, SizesAsTextAreReadBack) {
  for (const std::int64_t size : {512, 1024, 65536, 3145728}) {
    EXPECT_EQ(parse_size(size_text(size), "--lengths"), size);
  }
  EXPECT_EQ(size_text(496), "496");
}

}  // namespace
}  // namespace lookback
