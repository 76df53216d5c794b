#include "core/progress.h"

#include <gtest/gtest.h>

#include <limits>

namespace lookback {
namespace {

TEST(Progress, CountsAreShortAndRoundUpIntoTheNextUnit) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(950), "950");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(999.7), "1.00K");
  EXPECT_EQ(format_count(1000), "1.00K");
  EXPECT_EQ(format_count(9'994), "9.99K");
  EXPECT_EQ(format_count(9'996), "10.0K");
  EXPECT_EQ(format_count(12'345), "12.3K");
  EXPECT_EQ(format_count(999'990), "1.00M");
  EXPECT_EQ(format_count(4'061'000), "4.06M");
  EXPECT_EQ(format_count(1.2e9), "1.20G");
  EXPECT_EQ(format_count(5e18), "5000.0P");
  EXPECT_EQ(format_count(-12'345), "-12.3K");
}

TEST(Progress, BytesAreBinary) {
  EXPECT_EQ(format_bytes(512), "512 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1536), "1.50 KiB");
  EXPECT_EQ(format_bytes(3.4 * 1024 * 1024 * 1024), "3.40 GiB");
  EXPECT_EQ(format_bytes(1024.0 * 1024 - 1), "1.00 MiB");
}

TEST(Progress, DurationsReadAsPeopleSayThem) {
  EXPECT_EQ(format_duration(0.84), "0.8s");
  EXPECT_EQ(format_duration(9.97), "10s");
  EXPECT_EQ(format_duration(12), "12s");
  EXPECT_EQ(format_duration(59.6), "1m 00s");
  EXPECT_EQ(format_duration(185), "3m 05s");
  EXPECT_EQ(format_duration(2 * 3600 + 5 * 60 + 59), "2h 05m");
  EXPECT_EQ(format_duration(std::numeric_limits<double>::infinity()), "-");
}

TEST(Progress, TheTimeLeftFollowsThePace) {
  EXPECT_EQ(eta_text(0, 10, 5), "-");
  EXPECT_EQ(eta_text(5, 10, 20), "20s");
  EXPECT_EQ(eta_text(10, 10, 20), "0.0s");
  EXPECT_EQ(eta_text(11, 10, 20), "0.0s");  // a total that was only estimated
}

TEST(Progress, NothingIsShownBeforeItsTimeOrWhenQuiet) {
  testing::internal::CaptureStderr();
  {
    ProgressLine line;
    EXPECT_FALSE(line.due());
    line.show("too early");
    ProgressLine quiet(true);
    quiet.show("quiet");
    quiet.finish("quiet too");
    line.finish("done");
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "done\n");
}

}  // namespace
}  // namespace lookback
