// The linear layer with its cross-entropy on a GPU, in bfloat16 and float16, against float64 on the CPU.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <optional>
#include <utility>

#include "ops/composed_operators.h"
#include "ops/cuda_cross_entropy.h"
#include "ops/linear_cross_entropy.h"

namespace lookback {
namespace {

struct Results {
  at::Tensor token_losses, grad_hidden, grad_weight;  // in float64 on the CPU
  double loss = 0;
};

Results run(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels, const at::Tensor& factors) {
  const at::Tensor rows = hidden.detach().set_requires_grad(true);
  const at::Tensor matrix = weight.detach().set_requires_grad(true);
  const LinearCrossEntropy found = linear_cross_entropy(rows, matrix, labels, factors);
  found.loss.backward();
  const auto read = [](const at::Tensor& tensor) { return tensor.detach().to(at::kCPU, at::kDouble); };
  return {read(found.token_losses), read(rows.grad()), read(matrix.grad()), found.loss.item<double>()};
}

class CudaCrossEntropy : public testing::TestWithParam<at::ScalarType> {
 protected:
  void SetUp() override {
    // Machines that compile the kernel need no card, and what is compared here exists on a card only.
    if (!at::hasCUDA()) GTEST_SKIP() << "no GPU";
    at::manual_seed(1);
  }
};

// As attention's tests: within twice the error that plain operations in the same type make.
void expect_as_good(const at::Tensor& found, const at::Tensor& plain, const at::Tensor& exact, const char* name) {
  const auto error = [&exact](const at::Tensor& tensor) { return (tensor - exact).abs().max().item<double>(); };
  EXPECT_LE(error(found), 2 * error(plain) + 1e-5 * exact.abs().max().item<double>()) << name;
}

TEST_P(CudaCrossEntropy, AgreesWithFloat64) {
  const at::Device card(at::kCUDA);
  // 2,700 rows of 50,258 logits are more than one piece.
  const std::pair<std::int64_t, std::int64_t> sizes[] = {{5, 3}, {300, 64}, {130, 1003}, {2700, 50'258}};
  for (const auto& [num_rows, num_classes] : sizes) {
    SCOPED_TRACE(num_classes);
    constexpr std::int64_t width = 32;
    const at::Tensor hidden = at::randn({num_rows, width}, at::kDouble).to(GetParam());
    const at::Tensor weight = at::randn({num_classes, width}, at::kDouble).to(GetParam());
    at::Tensor labels = at::randint(0, num_classes, {num_rows}, at::kLong);
    labels[2] = -100;
    const at::Tensor factors = at::rand({num_rows}, at::kFloat);
    const Results exact = run(hidden.to(at::kDouble), weight.to(at::kDouble), labels, factors.to(at::kDouble));
    ASSERT_TRUE(has_cuda_cross_entropy(hidden.to(card)));
    // Weights are kept in float32 and rounded where they are used.
    const auto on_card = [&] {
      return run(hidden.to(card), weight.to(card, at::kFloat), labels.to(card), factors.to(card));
    };
    const Results found = on_card();
    const Results again = on_card();
    const ComposedOperators composed;
    const Results plain = on_card();
    expect_as_good(found.token_losses, plain.token_losses, exact.token_losses, "token_losses");
    expect_as_good(found.grad_hidden, plain.grad_hidden, exact.grad_hidden, "grad_hidden");
    expect_as_good(found.grad_weight, plain.grad_weight, exact.grad_weight, "grad_weight");
    EXPECT_EQ(found.token_losses[2].item<double>(), 0);
    EXPECT_NEAR(found.loss, (exact.token_losses * factors).sum().item<double>(), 1e-2 * std::abs(exact.loss));
    EXPECT_TRUE(at::equal(found.token_losses, again.token_losses));
    EXPECT_TRUE(at::equal(found.grad_weight, again.grad_weight));
  }
}

INSTANTIATE_TEST_SUITE_P(Types, CudaCrossEntropy, testing::Values(at::kBFloat16, at::kHalf));

}  // namespace
}  // namespace lookback
