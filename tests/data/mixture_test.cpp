#include "data/mixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace lookback {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

using Sizes = std::vector<std::vector<std::int64_t>>;

std::vector<MixtureEntry> corpora_of(const Sizes& sizes, const std::vector<double>& weights) {
  std::vector<MixtureEntry> corpora;
  for (std::size_t c = 0; c < sizes.size(); ++c) {
    corpora.push_back({std::string(1, static_cast<char>('a' + c)), weights[c],
                       static_cast<std::int64_t>(sizes[c].size()),
                       std::accumulate(sizes[c].begin(), sizes[c].end(), std::int64_t{0})});
  }
  return corpora;
}

// How often each document of a corpus is in the plan.
std::vector<std::int64_t> times(const std::vector<MixedDocument>& plan, std::size_t corpus, std::size_t num_documents) {
  std::vector<std::int64_t> counts(num_documents);
  for (const MixedDocument& mixed : plan) {
    if (mixed.corpus == corpus) ++counts.at(static_cast<std::size_t>(mixed.document));
  }
  return counts;
}

// By hand: a has 60 tokens, b 30. In shares 1 : 2, the least whole stream has 180 (a 60, b 120 = 4 * 30).
TEST(Mixture, RepeatsWholeCorpora) {
  const Sizes sizes = {{10, 20, 30}, {15, 15}};
  std::vector<MixtureEntry> corpora = corpora_of(sizes, {1.0, 2.0});
  EXPECT_EQ(smallest_whole_mixture(corpora), 180);
  const auto plan = plan_mixture(corpora, sizes, 180, 7);
  EXPECT_THAT(times(plan, 0, 3), ElementsAre(1, 1, 1));
  EXPECT_THAT(times(plan, 1, 2), ElementsAre(4, 4));
  EXPECT_EQ(corpora[0].mixed_tokens, 60);
  EXPECT_EQ(corpora[1].mixed_tokens, 120);
  EXPECT_EQ(corpora[1].mixed_documents, 8);
  EXPECT_EQ(plan.size(), 11U);
}

// By hand: 100 tokens in shares 3 : 1. a is to give 75 of its 60: once, and 15 more; of documents of 10, one or two (5
// too few or too many: the second is taken). b is to give 25 of its 90, documents of 30: one.
TEST(Mixture, TakesWholeDocumentsForTheRest) {
  const Sizes sizes = {std::vector<std::int64_t>(6, 10), {30, 30, 30}};
  std::vector<MixtureEntry> corpora = corpora_of(sizes, {3.0, 1.0});
  const auto plan = plan_mixture(corpora, sizes, 100, 1);
  EXPECT_THAT(times(plan, 0, 6), UnorderedElementsAre(1, 1, 1, 1, 2, 2));
  EXPECT_THAT(times(plan, 1, 3), UnorderedElementsAre(0, 0, 1));
  EXPECT_EQ(corpora[0].mixed_tokens, 80);
  EXPECT_EQ(corpora[1].mixed_tokens, 30);
}

TEST(Mixture, NoCorpusIsLeftOutWhole) {
  const Sizes sizes = {{1000}, {1000}};
  std::vector<MixtureEntry> corpora = corpora_of(sizes, {1.0, 99.0});
  const auto plan = plan_mixture(corpora, sizes, 1000, 0);
  EXPECT_THAT(times(plan, 0, 1), ElementsAre(1));
  EXPECT_THAT(times(plan, 1, 1), ElementsAre(1));
}

TEST(Mixture, SharesAreMissedByHalfADocumentAtMost) {
  Sizes sizes(3);
  for (std::int64_t i = 0; i < 300; ++i) sizes[static_cast<std::size_t>(i % 3)].push_back(1 + i * i % 997);
  const std::vector<double> weights = {0.2, 3.0, 1.7};
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    std::vector<MixtureEntry> corpora = corpora_of(sizes, weights);
    plan_mixture(corpora, sizes, 120'000, seed);
    for (std::size_t c = 0; c < 3; ++c) {
      EXPECT_NEAR(static_cast<double>(corpora[c].mixed_tokens), 120'000 * weights[c] / 4.9, 499) << seed;
    }
  }
}

TEST(Mixture, TheSeedDecidesTheOrderAndTheChoice) {
  const Sizes sizes = {std::vector<std::int64_t>(50, 10), std::vector<std::int64_t>(50, 10)};
  const auto plan_with = [&](std::uint64_t seed) {
    std::vector<MixtureEntry> corpora = corpora_of(sizes, {1.0, 1.0});
    return plan_mixture(corpora, sizes, 400, seed);
  };
  EXPECT_EQ(plan_with(3), plan_with(3));
  EXPECT_NE(plan_with(3), plan_with(4));
  EXPECT_NE(times(plan_with(3), 0, 50), times(plan_with(4), 0, 50));
  EXPECT_NE(times(plan_with(3), 0, 50), times(plan_with(3), 1, 50));
  // Mixed: the corpora alternate about half of the time.
  const auto plan = plan_with(3);
  std::int64_t changes = 0;
  for (std::size_t i = 1; i < plan.size(); ++i) changes += plan[i].corpus != plan[i - 1].corpus ? 1 : 0;
  EXPECT_GT(changes, 10);
}

}  // namespace
}  // namespace lookback
