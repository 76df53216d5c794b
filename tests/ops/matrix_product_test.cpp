#include "ops/matrix_product.h"

#include <gtest/gtest.h>

namespace lookback {
namespace {

// Entries of a b may be off by n u of their absolute terms, n being the length of the sum (Higham, Accuracy and
// Stability of Numerical Algorithms, 3.5).
void expect_product(const at::Tensor& found, const at::Tensor& a, const at::Tensor& b) {
  constexpr double unit_roundoff = 0x1p-24;
  const at::Tensor exact_a = a.to(at::kDouble);
  const at::Tensor exact_b = b.to(at::kDouble);
  const at::Tensor bound = at::mm(exact_a.abs(), exact_b.abs()) * (static_cast<double>(a.size(1)) * unit_roundoff);
  const at::Tensor error = (found.to(at::kDouble) - at::mm(exact_a, exact_b)).abs();
  EXPECT_TRUE(error.le(bound).all().item<bool>()) << "off by " << (error / bound).max().item<double>() << " bounds";
}

struct Sizes {
  std::int64_t rows, in, out;
};

// Few and many enough for either library, results smaller and larger than what one of them divides well.
constexpr Sizes all_sizes[] = {{1, 64, 64}, {7, 40, 24}, {300, 64, 192}, {1024, 256, 704}, {2000, 705, 33}};

TEST(MatrixProduct, AgreesWithFloat64WhateverTheStrides) {
  at::manual_seed(1);
  for (const auto& [rows, in, out] : all_sizes) {
    const at::Tensor a = at::randn({rows, in});
    const at::Tensor b = at::randn({in, out});
    expect_product(matrix_product(a, b), a, b);
    expect_product(matrix_product(a.t().contiguous().t(), b.t().contiguous().t()), a, b);
    const at::Tensor same = at::randn({1, out}).expand({in, out});
    expect_product(matrix_product(a, same), a, same);
    at::Tensor result = at::empty({rows + 1, out}).narrow(0, 1, rows);
    matrix_product_out(result, a, b);
    expect_product(result, a, b);
  }
}

TEST(LinearProjection, AgreesWithFloat64ForwardAndBackward) {
  at::manual_seed(2);
  for (const auto& [rows, in, out] : all_sizes) {
    at::Tensor x = at::randn({2, rows, in}).set_requires_grad(true);
    at::Tensor weight = at::randn({out, in}).set_requires_grad(true);
    const at::Tensor gradient = at::randn({2, rows, out});
    const at::Tensor result = linear_projection(x, weight);
    ASSERT_EQ(result.sizes(), gradient.sizes());
    result.backward(gradient);
    const at::Tensor x_rows = x.detach().flatten(0, 1);
    const at::Tensor gradient_rows = gradient.flatten(0, 1);
    expect_product(result.detach().flatten(0, 1), x_rows, weight.detach().t());
    expect_product(x.grad().flatten(0, 1), gradient_rows, weight.detach());
    expect_product(weight.grad(), gradient_rows.t(), x_rows);
  }
}

TEST(LinearProjection, IsTheSameWithoutGradientsAndEachTime) {
  at::manual_seed(3);
  const at::Tensor x = at::randn({2, 512, 256});
  const at::Tensor weight = at::randn({704, 256});
  const at::Tensor plain = linear_projection(x, weight);
  EXPECT_TRUE(at::equal(plain, linear_projection(x, weight)));
  const at::Tensor with_gradient = linear_projection(x, weight.detach().clone().set_requires_grad(true));
  EXPECT_TRUE(with_gradient.requires_grad());
  EXPECT_TRUE(at::equal(plain, with_gradient.detach()));
}

TEST(LinearProjection, LeavesOutTheGradientNobodyWants) {
  at::Tensor x = at::randn({512, 256});
  at::Tensor weight = at::randn({704, 256}).set_requires_grad(true);
  linear_projection(x, weight).sum().backward();
  EXPECT_FALSE(x.grad().defined());
  EXPECT_TRUE(weight.grad().defined());
}

}  // namespace
}  // namespace lookback
