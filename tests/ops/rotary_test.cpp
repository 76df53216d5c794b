#include "ops/rotary.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "ops/attention_twins.h"

namespace lookback {
namespace {

// The pairs as complex numbers, multiplied by exp(i position theta^(-2 j / D)).
at::Tensor by_complex_numbers(const at::Tensor& x, double theta) {
  const std::int64_t half = x.size(3) / 2;
  const at::Tensor numbers = at::complex(x.narrow(3, 0, half), x.narrow(3, half, half));
  const at::Tensor frequency =
      at::exp(at::arange(half, at::kDouble) * (-2 * std::log(theta) / static_cast<double>(x.size(3))));
  const at::Tensor angle = at::arange(x.size(1), at::kDouble).unsqueeze(1) * frequency;
  const at::Tensor turned = numbers * at::polar(at::ones_like(angle), angle).unsqueeze(1);
  return at::cat({at::real(turned), at::imag(turned)}, 3);
}

class Rotary : public testing::TestWithParam<std::int64_t> {};

TEST_P(Rotary, AgreesWithComplexNumbers) {
  const std::int64_t head_dim = GetParam();
  const at::Tensor x = normal_leaf({3, 20, 2, head_dim}, 1);
  const at::Tensor grad_output = normal_leaf(x.sizes(), 2).detach();
  const at::Tensor expected = by_complex_numbers(x, 100);
  expected.backward(grad_output);
  const auto compare = [&](at::ScalarType type, double tolerance) {
    const at::Tensor typed = x.detach().to(type).set_requires_grad(true);
    const at::Tensor found = rotary(typed, make_rotary_table(20, head_dim, 100, at::TensorOptions(type)));
    found.backward(grad_output.to(type));
    EXPECT_LT(largest_difference(found, expected), tolerance);
    EXPECT_LT(largest_difference(typed.grad(), x.grad()), tolerance);
  };
  compare(at::kDouble, 1e-13);
  compare(at::kFloat, 2e-6);
  compare(at::kBFloat16, 0.1);
}

INSTANTIATE_TEST_SUITE_P(HeadDims, Rotary, testing::Values(2, 6, 16, 40, 64));

TEST(Rotary, TakesAnyLayout) {
  const at::Tensor x = normal_leaf({2, 3, 5, 8}, 1).detach().to(at::kFloat);
  const RotaryTable table = make_rotary_table(5, 8, 100, at::TensorOptions(at::kFloat));
  EXPECT_TRUE(rotary(x.transpose(1, 2), table).equal(rotary(x.transpose(1, 2).contiguous(), table)));
}

TEST(Rotary, MisuseIsNamed) {
  const RotaryTable table = make_rotary_table(5, 8, 100, at::TensorOptions(at::kFloat));
  try {
    rotary(at::zeros({1, 4, 2, 8}), table);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "table: expected [P, D] with 4 in dimension 0, found [5, 8]");
  }
  EXPECT_THROW(rotary(at::zeros({1, 5, 2, 8}, at::kDouble), table), Error);
}

}  // namespace
}  // namespace lookback
