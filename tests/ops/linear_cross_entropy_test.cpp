#include "ops/linear_cross_entropy.h"

#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "ops/attention_twins.h"

namespace lookback {
namespace {

at::Tensor plain_loss(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels,
                      const at::Tensor& factors) {
  const at::Tensor losses = at::cross_entropy_loss(at::matmul(hidden, weight.t()), labels, {}, at::Reduction::None);
  return (losses * factors).sum();
}

class LinearCrossEntropyRows : public testing::TestWithParam<std::int64_t> {};

TEST_P(LinearCrossEntropyRows, AgreesWithFullLogits) {
  const std::int64_t rows = GetParam();
  constexpr std::int64_t vocabulary = 20011;  // so that some hundred rows are one block
  const at::Tensor hidden = normal_leaf({rows, 6}, 1);
  const at::Tensor weight = normal_leaf({vocabulary, 6}, 2);
  at::Generator generator = at::detail::createCPUGenerator(3);
  at::Tensor labels = at::randint(0, vocabulary, {rows}, generator, at::kLong);
  labels[0] = -100;
  const at::Tensor factors = at::rand({rows}, generator, at::kDouble);
  const at::Tensor expected = plain_loss(hidden, weight, labels, factors);
  expected.backward();
  const at::Tensor hidden_gradient = hidden.grad().clone();
  const at::Tensor weight_gradient = weight.grad().clone();
  hidden.mutable_grad().reset();
  weight.mutable_grad().reset();

  const LinearCrossEntropy found = linear_cross_entropy(hidden, weight, labels, factors);
  EXPECT_NEAR(found.loss.item<double>(), expected.item<double>(), 1e-9);
  EXPECT_EQ(found.token_losses[0].item<double>(), 0);
  (found.loss * 3).backward();
  EXPECT_LT(largest_difference(hidden.grad(), hidden_gradient * 3), 1e-11);
  EXPECT_LT(largest_difference(weight.grad(), weight_gradient * 3), 1e-11);
}

INSTANTIATE_TEST_SUITE_P(Rows, LinearCrossEntropyRows, testing::Values(2, 418, 419, 420, 900));

// float32 takes the kernel: the same within its rounding.
TEST(LinearCrossEntropy, AgreesInFloat32) {
  const at::Tensor hidden = normal_leaf({300, 16}, 1);
  const at::Tensor weight = normal_leaf({1003, 16}, 2);
  at::Generator generator = at::detail::createCPUGenerator(3);
  const at::Tensor labels = at::randint(0, 1003, {300}, generator, at::kLong);
  labels.slice(0, 10, 20).fill_(-100);
  const at::Tensor factors = at::rand({300}, generator, at::kDouble);
  const LinearCrossEntropy expected = linear_cross_entropy(hidden, weight, labels, factors);
  expected.loss.backward();
  const at::Tensor rows = hidden.detach().to(at::kFloat).set_requires_grad(true);
  const at::Tensor matrix = weight.detach().to(at::kFloat).set_requires_grad(true);
  const LinearCrossEntropy found = linear_cross_entropy(rows, matrix, labels, factors.to(at::kFloat));
  found.loss.backward();
  EXPECT_LT(largest_difference(found.token_losses, expected.token_losses), 2e-5);
  EXPECT_LT(largest_difference(rows.grad(), hidden.grad()), 2e-5);
  EXPECT_LT(largest_difference(matrix.grad(), weight.grad()), 2e-5);
  const at::NoGradGuard no_gradients;
  EXPECT_TRUE(linear_cross_entropy(rows, matrix, labels).token_losses.equal(found.token_losses));
}

TEST(LinearCrossEntropy, IsTheMeanOverLabelsByDefault) {
  const at::Tensor hidden = normal_leaf({5, 3}, 1);
  const at::Tensor weight = normal_leaf({4, 3}, 2);
  const at::Tensor labels = at::tensor({0, -100, 3, 1, -100}, at::kLong);
  const at::Tensor expected = at::cross_entropy_loss(at::matmul(hidden, weight.t()), labels);
  EXPECT_NEAR(linear_cross_entropy(hidden, weight, labels).loss.item<double>(), expected.item<double>(), 1e-7);
}

TEST(LinearCrossEntropy, NothingToPredictIsZero) {
  const at::Tensor hidden = normal_leaf({2, 3}, 1);
  const LinearCrossEntropy found = linear_cross_entropy(hidden, normal_leaf({4, 3}, 2), at::full({2}, -100, at::kLong));
  EXPECT_EQ(found.loss.item<double>(), 0);
}

TEST(LinearCrossEntropy, LabelsOutOfRangeAreNamed) {
  try {
    linear_cross_entropy(at::zeros({2, 3}), at::zeros({4, 3}), at::tensor({1, 4}, at::kLong));
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "labels: expected 0 to 3 or -100, found 1 to 4");
  }
}

}  // namespace
}  // namespace lookback
