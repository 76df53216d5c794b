#include "nn/recompute.h"

#include <gtest/gtest.h>

#include <vector>

namespace lookback {
namespace {

TEST(RecomputeInBackward, GivesTheSameOutputAndGradients) {
  const at::Tensor x = at::tensor({1.0, -2.0, 0.5}).set_requires_grad(true);
  const at::Tensor y = at::tensor({0.3, 0.1, -0.7}).set_requires_grad(true);
  const at::Tensor weight = at::tensor({2.0, 3.0, -1.0}).set_requires_grad(true);
  int calls = 0;
  const TensorFunction function = [&](const std::vector<at::Tensor>& inputs) {
    ++calls;
    return at::tanh(inputs[0] * weight) * inputs[1].exp();
  };
  const at::Tensor expected = function({x, y});
  expected.square().sum().backward();
  std::vector<at::Tensor> expected_gradients;
  for (const at::Tensor& leaf : {x, y, weight}) {
    expected_gradients.push_back(leaf.grad().clone());
    leaf.mutable_grad().reset();
  }
  calls = 0;
  const at::Tensor output = recompute_in_backward(function, {x, y});
  EXPECT_TRUE(at::equal(output, expected));
  EXPECT_EQ(calls, 1);
  output.square().sum().backward();
  EXPECT_EQ(calls, 2);
  std::size_t i = 0;
  for (const at::Tensor& leaf : {x, y, weight}) EXPECT_TRUE(at::equal(leaf.grad(), expected_gradients[i++]));
}

TEST(RecomputeInBackward, LeavesInputsWithoutGradientAlone) {
  const at::Tensor x = at::tensor({1.0, 2.0}).set_requires_grad(true);
  const at::Tensor fixed = at::tensor({3.0, 4.0});
  recompute_in_backward([](const std::vector<at::Tensor>& inputs) { return inputs[0] * inputs[1]; }, {x, fixed})
      .sum()
      .backward();
  EXPECT_TRUE(at::equal(x.grad(), fixed));
  EXPECT_FALSE(fixed.grad().defined());
}

}  // namespace
}  // namespace lookback
