// Lists of landmarks against the search of all scores in float64.
#include "retrieval/approximate_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "core/error.h"

namespace lookback {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

// Around num_groups centres.
at::Tensor grouped_tensor(std::int64_t rows, std::int64_t size, std::int64_t num_groups, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  at::Tensor centres = at::empty({num_groups, size}, at::kFloat);
  for (std::int64_t i = 0; i < centres.numel(); ++i) centres.mutable_data_ptr<float>()[i] = normal(random);
  at::Tensor values = at::empty({rows, size}, at::kFloat);
  for (std::int64_t i = 0; i < values.numel(); ++i) values.mutable_data_ptr<float>()[i] = 0.3F * normal(random);
  return values + centres.index_select(0, at::arange(rows, at::kLong) % num_groups);
}

class ApproximateIndexTest : public testing::Test {
 protected:
  void SetUp() override {
    // Faiss is optional; ./dev installs it, so that these run in every check.
    if (!has_approximate_index()) GTEST_SKIP() << "built without Faiss";
  }
  at::Tensor all_scores(const at::Tensor& query) const {
    return at::matmul(query.to(at::kDouble), landmarks_.to(at::kDouble).t()) /
           std::sqrt(static_cast<double>(query.size(1)));
  }
  at::Tensor landmarks_ = grouped_tensor(5000, 24, 40, 1);
  at::Tensor query_ = grouped_tensor(37, 24, 40, 2);
};

TEST_F(ApproximateIndexTest, AllListsAreAllLandmarks) {
  const LandmarkLists lists = cluster_landmarks(landmarks_, 50, 3);
  const auto index = make_approximate_index(landmarks_, lists, 50);
  EXPECT_EQ(index->num_chunks(), 5000);
  const BestChunks found = index->best(query_, 8);
  const at::Tensor all = all_scores(query_);
  const at::Tensor expected = std::get<0>(all.topk(8, 1));
  EXPECT_TRUE(found.scores.to(at::kDouble).allclose(expected, 1e-5, 1e-5));
  EXPECT_TRUE(all.gather(1, found.indices).allclose(expected, 1e-5, 1e-5));
}

TEST_F(ApproximateIndexTest, AFewListsHoldMostOfTheBest) {
  const LandmarkLists lists = cluster_landmarks(landmarks_, 50, 3);
  const at::Tensor all = all_scores(query_);
  const at::Tensor best = std::get<1>(all.topk(8, 1));
  double last_recall = 0;
  for (const std::int64_t num_probes : {1, 4, 16}) {
    const BestChunks found = make_approximate_index(landmarks_, lists, num_probes)->best(query_, 8);
    // Whatever is found has its own score, and they are in order.
    const at::Tensor there = found.indices.ge(0);  // a list may hold fewer than 8
    const at::Tensor own = all.gather(1, found.indices.clamp_min(0)).masked_fill(there.logical_not(), -INFINITY);
    EXPECT_TRUE(own.allclose(found.scores.to(at::kDouble), 1e-5, 1e-5));
    EXPECT_TRUE(found.scores.narrow(1, 1, 7).le(found.scores.narrow(1, 0, 7)).all().item<bool>());
    // And only the lists of the best centroids are looked into.
    const at::Tensor probed = std::get<1>(at::matmul(query_, lists.centroids.t()).topk(num_probes, 1));
    const at::Tensor list =
        lists.list_of.index_select(0, found.indices.clamp_min(0).flatten()).view(found.indices.sizes());
    const at::Tensor among = list.unsqueeze(2).eq(probed.unsqueeze(1)).any(2);
    EXPECT_TRUE(among.logical_or(there.logical_not()).all().item<bool>()) << num_probes;
    const double recall = found.indices.unsqueeze(2).eq(best.unsqueeze(1)).any(2).to(at::kDouble).mean().item<double>();
    EXPECT_GE(recall, last_recall);
    last_recall = recall;
  }
  EXPECT_GT(last_recall, 0.95);
}

TEST_F(ApproximateIndexTest, EveryLandmarkIsInTheListOfItsNearestCentroid) {
  const LandmarkLists lists = cluster_landmarks(landmarks_, 20, 3);
  const at::Tensor distances = at::cdist(landmarks_.to(at::kDouble), lists.centroids.to(at::kDouble));
  const at::Tensor own = distances.gather(1, lists.list_of.unsqueeze(1)).squeeze(1);
  EXPECT_TRUE(own.allclose(distances.amin(1), 1e-4, 1e-4));
  EXPECT_TRUE(cluster_landmarks(landmarks_, 20, 3).list_of.equal(lists.list_of));
}

TEST_F(ApproximateIndexTest, FewerThanAskedForAreFilledUp) {
  const at::Tensor three = landmarks_.narrow(0, 0, 3);
  const auto index = make_approximate_index(three, cluster_landmarks(three, 3, 0), 2);
  const BestChunks found = index->best(query_.narrow(0, 0, 1), 5);
  EXPECT_EQ(found.indices.sizes(), at::IntArrayRef({1, 5}));
  EXPECT_EQ(found.indices.ge(0).sum().item<std::int64_t>(), 2);
  EXPECT_EQ(found.scores.eq(-INFINITY).sum().item<std::int64_t>(), 3);
}

TEST_F(ApproximateIndexTest, WhatDoesNotFitIsRefused) {
  const LandmarkLists lists = cluster_landmarks(landmarks_, 50, 3);
  EXPECT_THAT([&] { cluster_landmarks(landmarks_, 5001, 0); }, ThrowsMessage<Error>(HasSubstr("5000")));
  EXPECT_THAT([&] { make_approximate_index(landmarks_, lists, 51); }, ThrowsMessage<Error>(HasSubstr("probes 51")));
  EXPECT_THROW(make_approximate_index(landmarks_.narrow(0, 0, 100), lists, 1), Error);
  LandmarkLists damaged{lists.centroids, lists.list_of.clone()};
  damaged.list_of[17] = 50;
  EXPECT_THROW(make_approximate_index(landmarks_, damaged, 1), Error);
}

}  // namespace
}  // namespace lookback
