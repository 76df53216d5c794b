#include "core/random.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/error.h"

namespace lookback {
namespace {

// The first round that the PCG library's own demonstration prints for seed 42, stream 54 (pcg32-demo.out).
TEST(Random, DrawsTheNumbersOfThePublishedGenerator) {
  Random random(42, 54);
  const std::array<std::uint32_t, 6> expected = {0xa15c02b7, 0x7b47f409, 0xba1d3330,
                                                 0x83d2f293, 0xbfa4784b, 0xcbed606e};
  for (const std::uint32_t value : expected) EXPECT_EQ(random.next_u32(), value);
}

TEST(Random, SixtyFourBitsAreTwoDraws) {
  Random random(42, 54);
  EXPECT_EQ(random.next_u64(), 0xa15c02b77b47f409ULL);
}

TEST(Random, SeedsAndStreamsDiffer) {
  EXPECT_NE(Random(1).next_u64(), Random(2).next_u64());
  EXPECT_NE(Random(1, 0).next_u64(), Random(1, 1).next_u64());
}

TEST(Random, UniformFillsTheUnitInterval) {
  Random random(7);
  constexpr int num_draws = 100'000;
  double sum = 0;
  double lowest = 1;
  double highest = 0;
  for (int i = 0; i < num_draws; ++i) {
    const double value = random.uniform();
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    sum += value;
    lowest = std::min(lowest, value);
    highest = std::max(highest, value);
  }
  // Five standard errors of a uniform mean.
  EXPECT_NEAR(sum / num_draws, 0.5, 5 * std::sqrt(1.0 / 12 / num_draws));
  EXPECT_LT(lowest, 1e-3);
  EXPECT_GT(highest, 1 - 1e-3);
}

TEST(Random, BelowIsUniform) {
  Random random(11);
  constexpr int bound = 6;
  constexpr int num_draws = 60'000;
  std::array<int, bound> counts{};
  for (int i = 0; i < num_draws; ++i) ++counts.at(random.below(bound));
  double chi_squared = 0;
  constexpr double expected = static_cast<double>(num_draws) / bound;
  for (const int count : counts) chi_squared += std::pow(count - expected, 2) / expected;
  EXPECT_LT(chi_squared, 20.5);  // 5 degrees of freedom, p = 0.001
}

// With 3/4 of the range, a plain multiplication would give every third value twice as often as the others.
TEST(Random, BelowIsUnbiasedForHugeBounds) {
  Random random(12);
  const std::uint64_t bound = 3ULL << 62U;
  constexpr int num_draws = 30'000;
  std::array<int, 3> by_residue{};
  for (int i = 0; i < num_draws; ++i) {
    const std::uint64_t value = random.below(bound);
    ASSERT_LT(value, bound);
    ++by_residue.at(value % 3);
  }
  double chi_squared = 0;
  constexpr double expected = num_draws / 3.0;
  for (const int count : by_residue) chi_squared += std::pow(count - expected, 2) / expected;
  EXPECT_LT(chi_squared, 13.8);  // 2 degrees of freedom, p = 0.001
}

TEST(Random, BelowOneIsZero) {
  Random random(1);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(random.below(1), 0U);
}

TEST(Random, NormalHasItsMoments) {
  Random random(5);
  constexpr int num_draws = 100'000;
  double sum = 0;
  double sum_of_squares = 0;
  double sum_of_fourths = 0;
  for (int i = 0; i < num_draws; ++i) {
    const double value = random.normal();
    sum += value;
    sum_of_squares += value * value;
    sum_of_fourths += std::pow(value, 4);
  }
  // Five standard errors: variances of x, x^2 and x^4 are 1, 2 and 96.
  EXPECT_NEAR(sum / num_draws, 0.0, 5 * std::sqrt(1.0 / num_draws));
  EXPECT_NEAR(sum_of_squares / num_draws, 1.0, 5 * std::sqrt(2.0 / num_draws));
  EXPECT_NEAR(sum_of_fourths / num_draws, 3.0, 5 * std::sqrt(96.0 / num_draws));
}

TEST(Random, ShufflingPermutes) {
  Random random(3);
  std::vector<int> values(50);
  std::iota(values.begin(), values.end(), 0);
  const std::vector<int> sorted = values;
  random.shuffle(values);
  EXPECT_NE(values, sorted);
  EXPECT_THAT(values, testing::UnorderedElementsAreArray(sorted));
}

TEST(Random, EveryPermutationOfThreeIsAsLikely) {
  Random random(4);
  std::array<int, 27> counts{};
  constexpr int num_draws = 60'000;
  for (int i = 0; i < num_draws; ++i) {
    std::array<int, 3> values = {0, 1, 2};
    random.shuffle(values);
    const int order = 9 * values[0] + 3 * values[1] + values[2];
    ++counts.at(static_cast<std::size_t>(order));
  }
  constexpr double expected = num_draws / 6.0;
  double chi_squared = 0;
  for (const int count : counts) {
    if (count > 0) chi_squared += std::pow(count - expected, 2) / expected;
  }
  EXPECT_EQ(27 - std::count(counts.begin(), counts.end(), 0), 6);
  EXPECT_LT(chi_squared, 20.5);
}

TEST(Random, ItsStateComesBack) {
  Random random(9, 2);
  random.next_u32();
  Random copy = Random::from_state(random.state());
  EXPECT_EQ(copy.state(), random.state());
  for (int i = 0; i < 10; ++i) EXPECT_EQ(copy.next_u64(), random.next_u64());
}

TEST(Random, WhatIsNoStateIsRefused) {
  const std::string good = Random(9).state();
  for (const std::string& bad : {std::string(), std::string("pcg32:"), good + "0", good.substr(1),
                                 "pcg64" + good.substr(5), "pcg32: " + good.substr(7), "pcg32:-" + good.substr(7),
                                 good.substr(0, good.size() - 1) + "g", good.substr(0, good.size() - 1) + "0"}) {
    EXPECT_THROW(Random::from_state(bad), Error) << bad;
  }
}

}  // namespace
}  // namespace lookback
