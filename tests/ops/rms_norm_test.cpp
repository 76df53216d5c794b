#include "ops/rms_norm.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "ops/attention_twins.h"

namespace lookback {
namespace {

// The gradients of x and weight under a fixed gradient of the output.
std::vector<at::Tensor> gradients_of(const at::Tensor& output, const at::Tensor& x, const at::Tensor& weight) {
  const at::Tensor grad_output = at::linspace(-1, 2, output.numel(), output.options()).view(output.sizes());
  (output * grad_output).sum().backward();
  std::vector<at::Tensor> gradients = {x.grad().clone(), weight.grad().clone()};
  x.mutable_grad().reset();
  weight.mutable_grad().reset();
  return gradients;
}

TEST(RmsNorm, AgreesWithItsFormula) {
  const at::Tensor x = normal_leaf({2, 70, 24}, 1);
  const at::Tensor weight = normal_leaf({24}, 2);
  const at::Tensor expected = x * at::rsqrt(x.square().mean(-1, true) + 1e-3) * weight;
  const std::vector<at::Tensor> expected_gradients = gradients_of(expected, x, weight);
  const auto compare = [&](at::ScalarType type, double tolerance) {
    const at::Tensor typed_x = x.detach().to(type).set_requires_grad(true);
    const at::Tensor typed_weight = weight.detach().to(type).set_requires_grad(true);
    const at::Tensor found = rms_norm(typed_x, typed_weight, 1e-3);
    EXPECT_EQ(found.scalar_type(), type);
    EXPECT_LT(largest_difference(found, expected), tolerance);
    const std::vector<at::Tensor> gradients = gradients_of(found, typed_x, typed_weight);
    EXPECT_LT(largest_difference(gradients[0], expected_gradients[0]), tolerance);
    EXPECT_LT(largest_difference(gradients[1], expected_gradients[1]), 100 * tolerance);  // a sum of 140 rows
  };
  compare(at::kDouble, 1e-13);
  compare(at::kFloat, 3e-6);
  compare(at::kBFloat16, 0.1);
}

TEST(RmsNorm, TakesAnyLayoutAndNoRows) {
  const at::Tensor x = normal_leaf({24, 5}, 1).detach().to(at::kFloat);
  const at::Tensor weight = normal_leaf({48}, 2).detach().to(at::kFloat).slice(0, 0, 48, 2);
  EXPECT_TRUE(rms_norm(x.t(), weight, 1e-5).equal(rms_norm(x.t().contiguous(), weight.contiguous(), 1e-5)));
  EXPECT_EQ(rms_norm(at::zeros({0, 24}), weight, 1e-5).sizes(), at::IntArrayRef({0, 24}));
}

TEST(RmsNorm, IsTheSameForAnyNumberOfThreads) {
  const at::Tensor x = normal_leaf({1000, 64}, 1).detach().to(at::kFloat).set_requires_grad(true);
  const at::Tensor weight = normal_leaf({64}, 2).detach().to(at::kFloat).set_requires_grad(true);
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const std::vector<at::Tensor> one = gradients_of(rms_norm(x, weight, 1e-5), x, weight);
  at::set_num_threads(3);
  const std::vector<at::Tensor> three = gradients_of(rms_norm(x, weight, 1e-5), x, weight);
  at::set_num_threads(before);
  EXPECT_TRUE(one[0].equal(three[0]));
  EXPECT_TRUE(one[1].equal(three[1]));
}

TEST(RmsNorm, MisuseIsNamed) {
  try {
    rms_norm(at::zeros({2, 3}), at::zeros({4}), 1e-5);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "x: expected [..., 4], found [2, 3]");
  }
  EXPECT_THROW(rms_norm(at::zeros({2, 3}, at::kLong), at::zeros({3}), 1e-5), Error);
  EXPECT_THROW(rms_norm(at::zeros({2, 3}), at::zeros({1, 3}), 1e-5), Error);
}

}  // namespace
}  // namespace lookback
