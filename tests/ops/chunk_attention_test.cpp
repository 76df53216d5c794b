#include "ops/chunk_attention.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "ops/attention_twins.h"

namespace lookback {
namespace {

struct Shape {
  std::int64_t batch, chunks, positions, heads, kv_heads, head_dim, memory, chunk_size, top_k;
  bool plus_one;
};

void PrintTo(const Shape& s, std::ostream* out) {
  *out << "N" << s.batch << " C" << s.chunks << " P" << s.positions << " H" << s.heads << " Hkv" << s.kv_heads << " D"
       << s.head_dim << " E" << s.memory << " S" << s.chunk_size << " K" << s.top_k << (s.plus_one ? " +1" : "");
}

struct Inputs {
  at::Tensor query, key, value, indices, weights;
};

Inputs make_inputs(const Shape& s) {
  at::Generator generator = at::detail::createCPUGenerator(7);
  Inputs inputs;
  inputs.query = normal_leaf({s.batch, s.chunks, s.positions, s.heads, s.head_dim}, 1);
  inputs.key = normal_leaf({s.batch, s.memory, s.chunk_size, s.kv_heads, s.head_dim}, 2);
  inputs.value = normal_leaf(inputs.key.sizes(), 3);
  inputs.weights = normal_leaf({s.batch, s.chunks, s.top_k}, 4);
  // Repeats happen by themselves; -1 is among the draws.
  inputs.indices = at::randint(-1, s.memory, {s.batch, s.chunks, s.top_k}, generator, at::kLong);
  return inputs;
}

class ChunkAttention : public testing::TestWithParam<Shape> {};

TEST_P(ChunkAttention, AgreesWithThePlainFormula) {
  const Shape s = GetParam();
  const Inputs in = make_inputs(s);
  const double scale = 1 / std::sqrt(static_cast<double>(s.head_dim));
  const at::Tensor grad_output = normal_leaf(in.query.sizes(), 5).detach();
  const auto leaves = {in.query, in.key, in.value, in.weights};
  const at::Tensor expected =
      plain_chunk_attention(in.query, in.key, in.value, in.indices, in.weights, scale, s.plus_one);
  (expected * grad_output).sum().backward();
  std::vector<at::Tensor> expected_gradients;
  for (const at::Tensor& leaf : leaves) {
    expected_gradients.push_back(leaf.grad().clone());
    leaf.mutable_grad().reset();
  }

  const at::Tensor output = chunk_attention(in.query, in.key, in.value, in.indices, in.weights, scale, s.plus_one);
  EXPECT_LT(largest_difference(output, expected), 1e-11);
  (output * grad_output).sum().backward();
  std::size_t i = 0;
  for (const at::Tensor& leaf : leaves) {
    EXPECT_LT(largest_difference(leaf.grad(), expected_gradients[i]), 1e-10) << "gradient " << i;
    ++i;
  }

  const auto in_type = [&](at::ScalarType type) {
    return chunk_attention(in.query.detach().to(type), in.key.detach().to(type), in.value.detach().to(type), in.indices,
                           in.weights.detach().to(at::kFloat), scale, s.plus_one);
  };
  const double size = expected.abs().max().item<double>();
  EXPECT_LT(largest_difference(in_type(at::kFloat), expected), 1e-5 * size);
  EXPECT_LT(largest_difference(in_type(at::kBFloat16), expected), 0.05 * size);
}

INSTANTIATE_TEST_SUITE_P(Shapes, ChunkAttention,
                         testing::Values(Shape{1, 1, 1, 1, 1, 8, 1, 1, 1, false},     // everything one
                                         Shape{1, 1, 1, 1, 1, 8, 1, 1, 1, true},      //
                                         Shape{2, 5, 9, 4, 4, 16, 7, 8, 3, false},    //
                                         Shape{2, 5, 9, 4, 4, 16, 7, 8, 3, true},     //
                                         Shape{1, 4, 8, 6, 2, 8, 3, 7, 5, true},      // grouped-query, K > E
                                         Shape{3, 1, 1, 4, 2, 8, 50, 13, 4, true},    // decoding
                                         Shape{1, 70, 2, 4, 4, 32, 70, 64, 4, false}  // more than one gather
                                         ));

TEST(ChunkAttentionValues, NothingRetrievedGivesZeroAndNoGradient) {
  Inputs in = make_inputs({2, 3, 4, 2, 2, 8, 5, 6, 2, true});
  in.indices = at::full_like(in.indices, -1);
  const at::Tensor output = chunk_attention(in.query, in.key, in.value, in.indices, in.weights, 0.3, true);
  EXPECT_EQ(output.abs().max().item<double>(), 0);
  output.sum().backward();
  for (const at::Tensor& leaf : {in.query, in.key, in.value, in.weights}) {
    EXPECT_EQ(leaf.grad().abs().max().item<double>(), 0);
  }
}

TEST(ChunkAttentionValues, PlusOneSurvivesVeryNegativeScores) {
  // All scores -1000: with 1 in the denominator the probabilities vanish instead of becoming uniform.
  const at::Tensor query = at::full({1, 1, 1, 1, 8}, -1000.0 / 8, at::kDouble);
  const at::Tensor key = at::ones({1, 1, 4, 1, 8}, at::kDouble);
  const at::Tensor indices = at::zeros({1, 1, 1}, at::kLong);
  const at::Tensor weights = at::ones({1, 1, 1}, at::kDouble);
  EXPECT_EQ(chunk_attention(query, key, key, indices, weights, 1, true).abs().max().item<double>(), 0);
  EXPECT_NEAR(chunk_attention(query, key, key, indices, weights, 1, false).max().item<double>(), 1, 1e-12);
}

TEST(ChunkAttentionErrors, NameTheArgument) {
  const Inputs in = make_inputs({1, 2, 3, 4, 2, 8, 5, 6, 2, true});
  const auto message = [&](const Inputs& given) {
    try {
      chunk_attention(given.query, given.key, given.value, given.indices, given.weights, 1, false);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("none");
  };
  Inputs wrong = in;
  wrong.indices = in.indices.clone().fill_(5);
  EXPECT_EQ(message(wrong), "indices: expected -1 to 4, found 5 to 5");
  wrong = in;
  wrong.indices = in.indices.to(at::kInt);
  EXPECT_EQ(message(wrong), "indices: expected int64, found Int");
  wrong = in;
  wrong.weights = in.weights.narrow(2, 0, 1);
  EXPECT_EQ(message(wrong), "weights: expected the shape of indices [1, 2, 2], found [1, 2, 1]");
  wrong = in;
  wrong.value = in.value.narrow(2, 0, 3);
  EXPECT_EQ(message(wrong), "value: expected the shape of key [1, 5, 6, 2, 8], found [1, 5, 3, 2, 8]");
}

}  // namespace
}  // namespace lookback
