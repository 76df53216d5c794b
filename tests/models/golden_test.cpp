#include "golden/golden.h"

#include <gtest/gtest.h>

namespace lookback {
namespace {

class Golden : public testing::TestWithParam<const char*> {};

TEST_P(Golden, WithinLimits) {
  const std::filesystem::path folder = std::filesystem::path(LOOKBACK_SOURCE_DIR "/tests/fixtures/golden") / GetParam();
  const std::vector<Deviation> deviations = compare_with_golden(folder);
  ASSERT_FALSE(deviations.empty());
  for (const Deviation& deviation : deviations) {
    EXPECT_TRUE(deviation.within()) << deviation.name << ": " << deviation.value << " > " << deviation.limit;
  }
}

INSTANTIATE_TEST_SUITE_P(Folders, Golden,
                         testing::Values("drt-one-hop", "drt-two-hop", "drt-grouped-query", "drt-training",
                                         "sliding-window", "landmark-attention"));

}  // namespace
}  // namespace lookback
