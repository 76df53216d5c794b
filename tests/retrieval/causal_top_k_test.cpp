#include "retrieval/causal_top_k.h"

#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace lookback {
namespace {

TEST(CausalChunkScores, AreScaledProductsOfEarlierChunksOnly) {
  const at::Tensor query = at::tensor({1.0, 2.0, 3.0, 4.0}).view({1, 2, 2});
  const at::Tensor landmarks = at::tensor({1.0, 0.0, 0.0, 1.0, 1.0, 1.0}).view({1, 3, 2});
  const at::Tensor scores = causal_chunk_scores(query, landmarks, 1);  // chunks 1 and 2
  EXPECT_NEAR(scores[0][0][0].item<double>(), 1 / std::sqrt(2.0), 1e-6);
  EXPECT_EQ(scores[0][0][1].item<double>(), -INFINITY);
  EXPECT_NEAR(scores[0][1][1].item<double>(), 4 / std::sqrt(2.0), 1e-6);
  EXPECT_EQ(scores[0][1][2].item<double>(), -INFINITY);
}

TEST(CausalTopK, TakesTheBestAndWeighsThemBySoftmax) {
  const at::Tensor scores = at::tensor({0.0, std::log(3.0), -5.0, -INFINITY}).view({1, 1, 4});
  const TopK found = causal_top_k(scores, 2);
  EXPECT_TRUE(at::equal(found.indices.flatten(), at::tensor({1, 0}, at::kLong)));
  EXPECT_NEAR(found.weights[0][0][0].item<double>(), 0.75, 1e-6);
  EXPECT_NEAR(found.weights[0][0][1].item<double>(), 0.25, 1e-6);
}

TEST(CausalTopK, FillsUpWithMinusOneAndZero) {
  const at::Tensor scores = at::tensor({-INFINITY, -INFINITY, 0.5, -INFINITY}).view({1, 2, 2});
  const TopK found = causal_top_k(scores, 3);
  EXPECT_TRUE(at::equal(found.indices, at::tensor({-1, -1, -1, 0, -1, -1}, at::kLong).view({1, 2, 3})));
  EXPECT_TRUE(at::equal(found.weights, at::tensor({0.0F, 0.0F, 0.0F, 1.0F, 0.0F, 0.0F}).view({1, 2, 3})));
}

TEST(CausalTopK, WeightsCarryGradientAndMaskedRowsNoNan) {
  at::Tensor scores = at::tensor({-INFINITY, -INFINITY, 0.5, 1.0}).view({1, 2, 2}).set_requires_grad(true);
  causal_top_k(scores, 2).weights.square().sum().backward();
  EXPECT_FALSE(scores.grad().isnan().any().item<bool>());
  EXPECT_GT(scores.grad()[0][1].abs().min().item<double>(), 0);
}

// Gumbel noise makes each choice with the probability of its softmax (Gumbel-max); the weights stay noise-free.
TEST(CausalTopK, GumbelNoiseSamplesFromTheSoftmax) {
  constexpr std::int64_t draws = 40000;
  const at::Tensor row = at::tensor({0.0, 1.0, 2.0});
  const at::Tensor scores = row.view({1, 1, 3}).expand({1, draws, 3}).contiguous();
  const TopK found = causal_top_k(scores, 1, at::detail::createCPUGenerator(5));
  const at::Tensor share = at::bincount(found.indices.flatten(), {}, 3).to(at::kDouble) / draws;
  // Five standard errors of a share are below 0.0125.
  EXPECT_LT((share - at::softmax(row, 0)).abs().max().item<double>(), 0.0125);
  EXPECT_TRUE(found.weights.eq(1).all().item<bool>());
}

TEST(RandomSelection, IsTheSameHoweverManyAreAskedFor) {
  const at::Tensor all = random_selection(0, 20, 30, 1, at::kCPU);
  const at::Tensor part = random_selection(7, 5, 12, 1, at::kCPU);
  EXPECT_TRUE(part.equal(all.narrow(0, 7, 5).narrow(1, 0, 12)));
  EXPECT_FALSE(random_selection(0, 20, 30, 2, at::kCPU).equal(all));
}

// Each of 50 chunks is among 4 chosen of them 4 / 50 of the time, and what one chunk chooses says nothing of the next.
TEST(RandomSelection, ChoosesEveryChunkEquallyOften) {
  constexpr std::int64_t queries = 20'000, landmarks = 50, top_k = 4;
  const at::Tensor selection = random_selection(landmarks, queries, landmarks, 0, at::kCPU);
  const at::Tensor indices = choose_top_k(at::zeros({1, queries, landmarks}), selection.unsqueeze(0), top_k).indices[0];
  const at::Tensor share = at::bincount(indices.flatten(), {}, landmarks).to(at::kDouble) / queries;
  // Five standard errors of a share of 0.08 are below 0.01.
  EXPECT_LT((share - 0.08).abs().max().item<double>(), 0.01);
  const at::Tensor again =
      indices.narrow(0, 1, queries - 1).unsqueeze(2).eq(indices.narrow(0, 0, queries - 1).unsqueeze(1));
  EXPECT_NEAR(again.any(2).to(at::kDouble).mean().item<double>(), 0.08, 0.005);
}

TEST(UniformWeights, AreSharedByTheChosen) {
  const at::Tensor weights = uniform_weights(at::tensor({3, 1, -1, -1, -1, -1}, at::kLong).view({1, 2, 3}));
  EXPECT_TRUE(weights.equal(at::tensor({0.5F, 0.5F, 0.0F, 0.0F, 0.0F, 0.0F}).view({1, 2, 3})));
}

// By the definition: of what is left, each takes its part, the nearest chunk (the largest number) first.
TEST(StickBreakingWeights, TakeTheirPartsOfWhatIsLeft) {
  const at::Tensor scores = at::tensor({0.3, -1.0, 2.0, 0.7, 100.0}).view({1, 1, 5}).set_requires_grad(true);
  const at::Tensor indices = at::tensor({2, 0, -1, 3}, at::kLong).view({1, 1, 4});
  const at::Tensor weights = stick_breaking_weights(scores, indices);
  const auto part = [](double score) { return 1 / (1 + std::exp(-score)); };
  const double nearest = part(0.7);
  const double middle = part(2.0) * (1 - nearest);
  const double farthest = part(0.3) * (1 - part(2.0)) * (1 - nearest);
  const std::vector<double> expected = {middle, farthest, 0, nearest};
  for (std::int64_t k = 0; k < 4; ++k) EXPECT_NEAR(weights[0][0][k].item<double>(), expected[k], 1e-6) << k;
  weights.sum().backward();
  EXPECT_FALSE(scores.grad().isnan().any().item<bool>());
  EXPECT_EQ(scores.grad()[0][0][4].item<double>(), 0);
}

TEST(StickBreakingWeights, ReadNothingWhereNothingIsChosen) {
  const at::Tensor scores = at::full({1, 2, 2}, -INFINITY).set_requires_grad(true);
  const at::Tensor weights = stick_breaking_weights(scores, at::full({1, 2, 2}, -1, at::kLong));
  EXPECT_EQ(weights.abs().max().item<double>(), 0);
  weights.sum().backward();
  EXPECT_FALSE(scores.grad().isnan().any().item<bool>());
}

// Rows are chunks 5 and 6; other texts begin at chunks 2 and 4.
TEST(WithSuccessors, AddsWhatFollowsWithinItsTextAndBeforeTheAskingChunkEnds) {
  const TopK chosen{at::tensor({4, 1, 0, 5, 3, -1}, at::kLong).view({1, 2, 3}),
                    at::tensor({0.5, 0.3, 0.2, 0.6, 0.4, 0.0}).view({1, 2, 3})};
  const TopK read = with_successors(chosen, 5, {2, 4});
  EXPECT_TRUE(read.indices.equal(at::tensor({4, 1, 0, 5, -1, 1, 5, 3, -1, 6, -1, -1}, at::kLong).view({1, 2, 6})));
  EXPECT_TRUE(
      read.weights.equal(at::tensor({0.5, 0.3, 0.2, 0.5, 0.0, 0.2, 0.6, 0.4, 0.0, 0.6, 0.0, 0.0}).view({1, 2, 6})));
}

TEST(WithSuccessors, EndsWithTheAskingChunk) {
  const TopK chosen{at::tensor({5, 6}, at::kLong).view({1, 1, 2}), at::tensor({0.5, 0.5}).view({1, 1, 2})};
  EXPECT_TRUE(with_successors(chosen, 6, {}).indices.equal(at::tensor({5, 6, 6, -1}, at::kLong).view({1, 1, 4})));
}

}  // namespace
}  // namespace lookback
