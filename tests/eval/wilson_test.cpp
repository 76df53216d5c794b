#include "eval/wilson.h"

#include <gtest/gtest.h>

namespace lookback {
namespace {

// Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998), table I,
// method 3.
TEST(Wilson, PublishedIntervals) {
  struct Case {
    std::int64_t successes, trials;
    double low, high;
  };
  for (const Case& c : {Case{81, 263, 0.2553, 0.3662}, Case{15, 148, 0.0624, 0.1605}, Case{0, 20, 0.0, 0.1611},
                        Case{1, 29, 0.0061, 0.1718}}) {
    const Interval interval = wilson_interval(c.successes, c.trials);
    EXPECT_NEAR(interval.low, c.low, 5e-5) << c.successes << " of " << c.trials;
    EXPECT_NEAR(interval.high, c.high, 5e-5) << c.successes << " of " << c.trials;
  }
}

TEST(Wilson, IsSymmetricAndBounded) {
  const Interval all = wilson_interval(20, 20);
  const Interval none = wilson_interval(0, 20);
  EXPECT_DOUBLE_EQ(all.low, 1.0 - none.high);
  EXPECT_DOUBLE_EQ(all.high, 1.0);
  EXPECT_DOUBLE_EQ(wilson_interval(0, 0).low, 0.0);
  EXPECT_DOUBLE_EQ(wilson_interval(0, 0).high, 1.0);
}

}  // namespace
}  // namespace lookback
