// The search in 8 bits against the search of all scores in float64.
#include "retrieval/exact_index.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace lookback {
namespace {

at::Tensor normal_tensor(std::int64_t rows, std::int64_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  at::Tensor values = at::empty({rows, size}, at::kFloat);
  for (std::int64_t i = 0; i < values.numel(); ++i) values.mutable_data_ptr<float>()[i] = normal(random);
  return values;
}

// The scores are those of all pairs in float64, and no chunk that was left out is better than the last that was not.
void expect_best(const BestChunks& found, const at::Tensor& query, const at::Tensor& landmarks, std::int64_t top_k) {
  const at::Tensor all =
      at::matmul(query.to(at::kDouble), landmarks.to(at::kDouble).t()) / std::sqrt(static_cast<double>(query.size(1)));
  const auto expected = all.topk(top_k, 1);
  EXPECT_EQ(found.scores.sizes(), at::IntArrayRef({query.size(0), top_k}));
  EXPECT_TRUE(found.scores.to(at::kDouble).allclose(std::get<0>(expected), 1e-5, 1e-5));
  EXPECT_TRUE(all.gather(1, found.indices).allclose(std::get<0>(expected), 1e-5, 1e-5));
  for (std::int64_t c = 0; c < query.size(0); ++c) {
    EXPECT_EQ(std::get<0>(at::_unique(found.indices[c])).size(0), top_k);
  }
}

TEST(ExactIndex, FindsTheBestOfMany) {
  for (const std::int64_t size : {5, 64, 100}) {
    const at::Tensor landmarks = normal_tensor(150'000, size, 1);
    const ExactIndex index(landmarks, at::kCPU);
    EXPECT_EQ(index.num_chunks(), 150'000);
    for (const std::int64_t num_queries : {1, 3, 8, 9, 40}) {
      const at::Tensor query = normal_tensor(num_queries, size, 2);
      for (const std::int64_t top_k : {1, 8, 30}) {
        expect_best(index.best(query, top_k), query, landmarks, top_k);
        expect_best(index.best_by_product(query, top_k), query, landmarks, top_k);
      }
    }
  }
}

// Rows of very different sizes, zeros, one element that is far larger than the others, and many rows that are almost
// the same: what 8 bits tell worst apart.
TEST(ExactIndex, FindsTheBestWhere8BitsTellLittle) {
  at::Tensor landmarks = normal_tensor(20'000, 32, 3);
  landmarks.mul_(at::exp(3 * normal_tensor(20'000, 1, 4)));
  landmarks.narrow(0, 100, 50).zero_();
  landmarks.select(1, 7).mul_(1000);
  const at::Tensor query = normal_tensor(6, 32, 5);
  expect_best(ExactIndex(landmarks, at::kCPU).best(query, 8), query, landmarks, 8);

  const at::Tensor alike = normal_tensor(1, 32, 6) + 1e-3 * normal_tensor(20'000, 32, 7);
  expect_best(ExactIndex(alike, at::kCPU).best(query, 8), query, alike, 8);
  const at::Tensor same = normal_tensor(1, 32, 8).repeat({20'000, 1});
  EXPECT_TRUE(ExactIndex(same, at::kCPU).best(query, 8).indices.ge(0).all().item<bool>());
}

// As a file is read: what is behind the rows that are there is not looked at.
TEST(ExactIndex, TakesLandmarksOneAfterAnother) {
  const at::Tensor all = normal_tensor(20'000, 24, 11);
  const at::Tensor query = normal_tensor(3, 24, 12);
  at::Tensor landmarks = at::full_like(all, NAN);
  ExactIndex index(at::kCPU);
  std::int64_t first = 0;
  for (const std::int64_t count : {1, 4096, 15'903, 0}) {
    landmarks.narrow(0, first, count).copy_(all.narrow(0, first, count));
    index.take(landmarks, first, count);
    first += count;
  }
  EXPECT_EQ(index.num_chunks(), 20'000);
  expect_best(index.best(query, 8), query, all, 8);
  expect_best(index.best_by_product(query, 8), query, all, 8);
}

TEST(ExactIndex, FillsUpWhereThereAreTooFew) {
  const at::Tensor landmarks = normal_tensor(3, 16, 9);
  const BestChunks found = ExactIndex(landmarks, at::kCPU).best(normal_tensor(2, 16, 10), 5);
  EXPECT_EQ(found.indices.sizes(), at::IntArrayRef({2, 5}));
  EXPECT_TRUE(found.indices.narrow(1, 3, 2).eq(-1).all().item<bool>());
  EXPECT_TRUE(found.scores.narrow(1, 3, 2).eq(-INFINITY).all().item<bool>());
  EXPECT_TRUE(found.indices.narrow(1, 0, 3).ge(0).all().item<bool>());
  const BestChunks nothing = ExactIndex(at::empty({0, 16}), at::kCPU).best(normal_tensor(2, 16, 10), 2);
  EXPECT_TRUE(nothing.indices.eq(-1).all().item<bool>());
}

}  // namespace
}  // namespace lookback
