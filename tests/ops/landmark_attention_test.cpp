// The golden numbers (tests/models/golden_test.cpp) know neither position bias nor a bound on blocks nor grouped
// queries: here they are compared with the formula, position by position.
#include "ops/landmark_attention.h"

#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <ostream>
#include <vector>

#include "core/error.h"

namespace lookback {
namespace {

struct Shape {
  std::int64_t batch, length, heads, kv_heads, head_dim;
  LandmarkAttentionSizes sizes;
};

void PrintTo(const Shape& s, std::ostream* out) {
  *out << "N" << s.batch << " L" << s.length << " H" << s.heads << " Hkv" << s.kv_heads << " D" << s.head_dim << " P"
       << s.sizes.block_size << " W" << s.sizes.window_size << " K" << s.sizes.top_k;
}

at::Tensor normal(at::IntArrayRef shape, std::uint64_t seed) {
  return at::randn(shape, at::detail::createCPUGenerator(seed), at::TensorOptions().dtype(at::kDouble));
}

double inner_product(const at::Tensor& a, const at::Tensor& b) { return (a * b).sum().item<double>(); }

// Softmax over some positions.
std::vector<double> softmax(const std::vector<double>& scores) {
  const double largest = *std::ranges::max_element(scores);
  std::vector<double> result;
  double sum = 0;
  for (const double score : scores) sum += result.emplace_back(std::exp(score - largest));
  for (double& one : result) one /= sum;
  return result;
}

// One query of one head: query [D], key and value [L, D].
at::Tensor plain_row(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, std::int64_t i,
                     double slope, const LandmarkAttentionSizes& sizes) {
  const std::int64_t block_size = sizes.block_size;
  const auto score = [&](std::int64_t j) {
    return inner_product(query, key[j]) / std::sqrt(static_cast<double>(query.size(0))) -
           slope * static_cast<double>(std::min(i - j, sizes.window_size));
  };
  const auto landmark_of = [block_size](std::int64_t block) { return (block + 1) * block_size - 1; };
  const std::int64_t own_block = i / block_size;
  std::vector<std::int64_t> local;
  std::vector<std::int64_t> far;
  for (std::int64_t e = 0; e < own_block; ++e) {
    // The block that starts at most W positions, rounded up to whole blocks, before the query's is local.
    const bool is_local =
        own_block * block_size - e * block_size < sizes.window_size + block_size && sizes.window_size > 0;
    (is_local ? local : far).push_back(e);
  }
  const auto choice = [&](std::int64_t e) {
    const std::int64_t rank = static_cast<std::int64_t>(far.size()) - 1 - e;  // far blocks are the first
    return score(landmark_of(e)) - 1e-4 * static_cast<double>(std::min(rank, sizes.top_k));
  };
  std::vector<std::int64_t> best = far;
  std::ranges::sort(best, [&](std::int64_t a, std::int64_t b) { return choice(a) > choice(b); });
  far = best;
  if (sizes.top_k > 0 && std::ssize(far) > sizes.top_k) far.resize(static_cast<std::size_t>(sizes.top_k));
  local.insert(local.end(), far.begin(), far.end());

  std::vector<double> scores;
  std::vector<std::int64_t> own_positions;
  for (std::int64_t j = own_block * block_size; j <= i; ++j) {
    if (j == landmark_of(own_block)) continue;
    own_positions.push_back(j);
    scores.push_back(score(j));
  }
  for (const std::int64_t e : local) scores.push_back(score(landmark_of(e)));
  const std::vector<double> weights = softmax(scores);
  at::Tensor sum = at::zeros_like(query);
  for (std::size_t j = 0; j < own_positions.size(); ++j) sum += weights[j] * value[own_positions[j]];
  for (std::size_t e = 0; e < local.size(); ++e) {
    std::vector<double> inside;
    for (std::int64_t j = local[e] * block_size; j < landmark_of(local[e]); ++j) inside.push_back(score(j));
    const std::vector<double> shares = softmax(inside);
    for (std::size_t j = 0; j < shares.size(); ++j) {
      sum +=
          weights[own_positions.size() + e] * shares[j] * value[local[e] * block_size + static_cast<std::int64_t>(j)];
    }
  }
  return sum;
}

at::Tensor plain_landmark_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                    const LandmarkAttentionSizes& sizes) {
  at::Tensor output = at::empty_like(query);
  const std::int64_t num_heads = query.size(2);
  for (std::int64_t n = 0; n < query.size(0); ++n) {
    for (std::int64_t h = 0; h < num_heads; ++h) {
      const std::int64_t kv_head = h / (num_heads / key.size(2));
      const double slope = std::exp2(-8.0 * static_cast<double>(h + 1) / static_cast<double>(num_heads));
      for (std::int64_t i = 0; i < query.size(1); ++i) {
        output[n][i][h].copy_(
            plain_row(query[n][i][h], key[n].select(1, kv_head), value[n].select(1, kv_head), i, slope, sizes));
      }
    }
  }
  return output;
}

class LandmarkAttentionTest : public testing::TestWithParam<Shape> {};

TEST_P(LandmarkAttentionTest, AgreesWithTheFormulaPositionByPosition) {
  const Shape s = GetParam();
  const at::Tensor query = normal({s.batch, s.length, s.heads, s.head_dim}, 1);
  const at::Tensor key = normal({s.batch, s.length, s.kv_heads, s.head_dim}, 2);
  const at::Tensor value = normal({s.batch, s.length, s.kv_heads, s.head_dim}, 3);
  const at::Tensor expected = plain_landmark_attention(query, key, value, s.sizes);
  EXPECT_LT((landmark_attention(query, key, value, s.sizes) - expected).abs().max().item<double>(), 1e-12);
}

// Along random directions, by central differences.
TEST_P(LandmarkAttentionTest, GradientsAreThoseOfFiniteDifferences) {
  const Shape s = GetParam();
  std::vector<at::Tensor> inputs = {normal({s.batch, s.length, s.heads, s.head_dim}, 1),
                                    normal({s.batch, s.length, s.kv_heads, s.head_dim}, 2),
                                    normal({s.batch, s.length, s.kv_heads, s.head_dim}, 3)};
  const at::Tensor grad_output = normal(inputs[0].sizes(), 4);
  const auto loss = [&] { return (landmark_attention(inputs[0], inputs[1], inputs[2], s.sizes) * grad_output).sum(); };
  for (at::Tensor& input : inputs) input.requires_grad_();
  loss().backward();
  constexpr double step = 1e-6;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const at::Tensor input = inputs[i];
    const at::Tensor direction = normal(input.sizes(), 10 + i);
    inputs[i] = input.detach() + step * direction;
    const double above = loss().item<double>();
    inputs[i] = input.detach() - step * direction;
    const double below = loss().item<double>();
    inputs[i] = input;
    const double expected = (above - below) / (2 * step);
    EXPECT_NEAR(inner_product(input.grad(), direction), expected, 1e-6 * std::max(1.0, std::abs(expected)))
        << "input " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, LandmarkAttentionTest,
                         testing::Values(Shape{1, 4, 1, 1, 4, {4, 0, 0}},     // a single block
                                         Shape{2, 40, 3, 3, 8, {8, 0, 0}},    // all blocks, no bias: golden's shape
                                         Shape{1, 48, 4, 2, 8, {6, 7, 0}},    // bias, grouped queries
                                         Shape{1, 60, 4, 1, 4, {5, 5, 2}},    // one local block, two of the others
                                         Shape{1, 60, 2, 2, 4, {5, 0, 3}},    // no local block
                                         Shape{1, 60, 2, 2, 4, {5, 11, 1}},   // three local blocks
                                         Shape{1, 24, 2, 2, 4, {4, 2, 50}},   // more asked for than there are
                                         Shape{1, 64, 2, 1, 2, {2, 3, 0}}));  // blocks of one token

// float32 has a kernel (tests/kernels/landmark_attention_kernel_test.cpp), float64 the operations tested above. Queries
// are rows of a wider tensor, as projections give them.
TEST_P(LandmarkAttentionTest, TheKernelAgreesWithFloat64) {
  Shape s = GetParam();
  s.head_dim *= 8;
  const std::vector<at::Tensor> doubles = {normal({s.batch, s.length, s.heads, 2 * s.head_dim}, 1),
                                           normal({s.batch, s.length, s.kv_heads, s.head_dim}, 2),
                                           normal({s.batch, s.length, s.kv_heads, s.head_dim}, 3)};
  const at::Tensor grad_output = normal({s.batch, s.length, s.heads, s.head_dim}, 4);
  const auto results = [&](at::ScalarType type) {
    std::vector<at::Tensor> inputs;
    for (const at::Tensor& one : doubles) inputs.push_back(one.to(at::kFloat).to(type).requires_grad_());
    const at::Tensor output =
        landmark_attention(inputs[0].narrow(3, s.head_dim, s.head_dim), inputs[1], inputs[2], s.sizes);
    (output * grad_output.to(type)).sum().backward();
    return std::vector<at::Tensor>{output.detach(), inputs[0].grad(), inputs[1].grad(), inputs[2].grad()};
  };
  const std::vector<at::Tensor> expected = results(at::kDouble);
  const std::vector<at::Tensor> found = results(at::kFloat);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double size = expected[i].abs().max().item<double>();
    EXPECT_LT((found[i] - expected[i]).abs().max().item<double>(), 1e-5 * size) << "result " << i;
  }
}

TEST(LandmarkAttention, OfEqualLandmarksTheNearestAreBest) {
  const LandmarkAttentionSizes sizes{4, 0, 3};
  const at::Tensor query = normal({1, 80, 2, 4}, 1).to(at::kFloat);
  at::Tensor key = normal({1, 80, 2, 4}, 2).to(at::kFloat);
  key.slice(1, 3, 80, 4).copy_(key.narrow(1, 3, 1).expand({1, 20, 2, 4}));
  const at::Tensor value = normal({1, 80, 2, 4}, 3).to(at::kFloat);
  const at::Tensor expected = landmark_attention(query, key, value, sizes);
  // What only blocks further away than three say has no influence on the last one.
  at::Tensor other = value.clone();
  other.narrow(1, 0, 64).zero_();
  const at::Tensor found = landmark_attention(query, key, other, sizes);
  EXPECT_TRUE(at::equal(found.narrow(1, 76, 4), expected.narrow(1, 76, 4)));
  EXPECT_FALSE(at::equal(found.narrow(1, 72, 4), expected.narrow(1, 72, 4)));
}

// Scores of 1600 positions and 12 heads take four times what is held at a time.
TEST(LandmarkAttention, GroupsOfBlocksAreSeamless) {
  const LandmarkAttentionSizes sizes{64, 64, 5};
  const at::Tensor query = normal({1, 1600, 12, 4}, 1);
  const at::Tensor key = normal({1, 1600, 12, 4}, 2);
  const at::Tensor value = normal({1, 1600, 12, 4}, 3);
  const at::Tensor whole = landmark_attention(query, key, value, sizes);
  for (const std::int64_t length : {64, 640, 1536}) {
    const auto part = [length](const at::Tensor& rows) { return rows.narrow(1, 0, length); };
    const at::Tensor found = landmark_attention(part(query), part(key), part(value), sizes);
    EXPECT_LT((found - part(whole)).abs().max().item<double>(), 1e-12) << length;
  }
}

TEST(LandmarkAttention, ArgumentsThatDoNotFitAreNamed) {
  const at::Tensor rows = normal({1, 8, 2, 4}, 1);
  const auto error = [](const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& found) {
      return std::string(found.what());
    }
    return std::string("nothing was thrown");
  };
  using testing::HasSubstr;
  EXPECT_THAT(error([&] { landmark_attention(rows, rows, rows, {3, 0, 0}); }),
              HasSubstr("whole blocks of 3 positions"));
  EXPECT_THAT(error([&] { landmark_attention(rows, rows, rows, {1, 0, 0}); }), HasSubstr("block_size"));
  EXPECT_THAT(error([&] { landmark_attention(rows, rows, rows, {4, -1, 0}); }), HasSubstr("window_size"));
  EXPECT_THAT(error([&] { landmark_attention(rows, rows, rows, {4, 0, -1}); }), HasSubstr("top_k"));
  EXPECT_THAT(error([&] { landmark_attention(rows, rows.narrow(1, 0, 4), rows, {4, 0, 0}); }), HasSubstr("key"));
  EXPECT_THAT(error([&] { landmark_attention(rows, rows, rows.to(at::kFloat), {4, 0, 0}); }), HasSubstr("value"));
}

}  // namespace
}  // namespace lookback
