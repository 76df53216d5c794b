#include "data/repeats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/random.h"

namespace lookback {
namespace {

using testing::ElementsAre;

TEST(RepeatDistances, OfASmallText) {
  //                                 a  b  c  a  b  c  d  b  c
  const std::vector<std::int64_t> ids{1, 2, 3, 1, 2, 3, 4, 2, 3};
  EXPECT_THAT(repeat_distances(ids, 0), ElementsAre(0, 0, 0, 3, 3, 3, 0, 3, 3));
  EXPECT_THAT(repeat_distances(ids, 1), ElementsAre(0, 0, 0, 0, 3, 3, 0, 0, 3));
  EXPECT_THAT(repeat_distances(ids, 2), ElementsAre(0, 0, 0, 0, 0, 3, 0, 0, 0));
  EXPECT_THAT(repeat_distances({}, 2), ElementsAre());
  EXPECT_THAT(repeat_distances(ids, std::int64_t{1} << 62U), ElementsAre(0, 0, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_THROW(repeat_distances(ids, -1), Error);
}

// Every pair of positions, token by token.
TEST(RepeatDistances, AreThoseOfComparingAll) {
  for (const std::int64_t min_match : {0, 1, 3, 12}) {
    Random random(static_cast<std::uint64_t>(min_match));
    std::vector<std::int64_t> ids;
    for (int i = 0; i < 800; ++i) ids.push_back(static_cast<std::int64_t>(random.below(3)));
    for (int i = 0; i < 200; ++i) ids.push_back(ids[static_cast<std::size_t>(i) + 100]);  // so that long ones repeat
    const std::vector<std::int64_t> distances = repeat_distances(ids, min_match);
    std::int64_t num_repeats = 0;
    for (std::int64_t i = 0; i < std::ssize(ids); ++i) {
      std::int64_t expected = 0;
      for (std::int64_t j = i - 1; j >= min_match && expected == 0; --j) {
        bool same = true;
        for (std::int64_t k = 0; k <= min_match; ++k) {
          same = same && ids[static_cast<std::size_t>(i - k)] == ids[static_cast<std::size_t>(j - k)];
        }
        if (same) expected = i - j;
      }
      ASSERT_EQ(distances[static_cast<std::size_t>(i)], expected) << min_match << ", " << i;
      num_repeats += expected > 0 ? 1 : 0;
    }
    EXPECT_GE(num_repeats, 180);
  }
}

}  // namespace
}  // namespace lookback
