#include "ops/silu_and_mul.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "ops/attention_twins.h"

namespace lookback {
namespace {

TEST(SiluAndMul, AgreesWithItsFormula) {
  const at::Tensor gate = normal_leaf({3, 1001}, 1);
  const at::Tensor up = normal_leaf({3, 1001}, 2);
  const at::Tensor grad_output = normal_leaf({3, 1001}, 3).detach();
  const at::Tensor expected = gate / ((-gate).exp() + 1) * up;
  (expected * grad_output).sum().backward();
  const auto compare = [&](at::ScalarType type, double tolerance) {
    const at::Tensor typed_gate = gate.detach().to(type).set_requires_grad(true);
    const at::Tensor typed_up = up.detach().to(type).set_requires_grad(true);
    const at::Tensor found = silu_and_mul(typed_gate, typed_up);
    found.backward(grad_output.to(type));
    EXPECT_LT(largest_difference(found, expected), tolerance);
    EXPECT_LT(largest_difference(typed_gate.grad(), gate.grad()), tolerance);
    EXPECT_LT(largest_difference(typed_up.grad(), up.grad()), tolerance);
  };
  compare(at::kDouble, 1e-13);
  compare(at::kFloat, 1e-5);
  compare(at::kBFloat16, 0.2);
}

TEST(SiluAndMul, TakesAnyLayoutAndNothing) {
  const at::Tensor both = normal_leaf({30, 22}, 1).detach().to(at::kFloat);
  const at::Tensor gate = both.slice(1, 0, 11).t();
  const at::Tensor up = both.slice(1, 11, 22).t();
  EXPECT_TRUE(silu_and_mul(gate, up).equal(silu_and_mul(gate.contiguous(), up.contiguous())));
  EXPECT_EQ(silu_and_mul(at::zeros({0, 4}), at::zeros({0, 4})).sizes(), at::IntArrayRef({0, 4}));
}

TEST(SiluAndMul, MisuseIsNamed) {
  try {
    silu_and_mul(at::zeros({2, 3}), at::zeros({3, 2}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "up: expected the shape of gate [2, 3], found [3, 2]");
  }
  EXPECT_THROW(silu_and_mul(at::zeros({2, 3}), at::zeros({2, 3}, at::kDouble)), Error);
}

}  // namespace
}  // namespace lookback
