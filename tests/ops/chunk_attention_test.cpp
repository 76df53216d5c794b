#include "ops/chunk_attention.h"

#include <ATen/Parallel.h>
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
                                         Shape{1, 3, 9, 3, 3, 12, 4, 7, 2, true},     // no kernel for this head dim
                                         Shape{1, 1, 1, 1, 1, 8, 1, 1, 1, true},      //
                                         Shape{2, 5, 9, 4, 4, 16, 7, 8, 3, false},    //
                                         Shape{2, 5, 9, 4, 4, 16, 7, 8, 3, true},     //
                                         Shape{1, 4, 8, 6, 2, 8, 3, 7, 5, true},      // grouped-query, K > E
                                         Shape{3, 1, 1, 4, 2, 8, 50, 13, 4, true},    // decoding
                                         Shape{1, 70, 2, 4, 4, 32, 70, 64, 4, false}  // more than one gather
                                         ));

// Output and gradients of a float32 call.
std::vector<at::Tensor> float_results(const Inputs& in, const at::Tensor& grad_output, double scale, bool plus_one) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& leaf : {in.query, in.key, in.value, in.weights}) {
    leaves.push_back(leaf.detach().to(at::kFloat).set_requires_grad(true));
  }
  const at::Tensor output = chunk_attention(leaves[0], leaves[1], leaves[2], in.indices, leaves[3], scale, plus_one);
  output.backward(grad_output.to(at::kFloat));
  std::vector<at::Tensor> results = {output.detach()};
  for (const at::Tensor& leaf : leaves) results.push_back(leaf.grad());
  return results;
}

TEST_P(ChunkAttention, GradientsInFloat32AgreeWithFloat64) {
  const Shape s = GetParam();
  const Inputs in = make_inputs(s);
  const double scale = 1 / std::sqrt(static_cast<double>(s.head_dim));
  const at::Tensor grad_output = normal_leaf(in.query.sizes(), 5).detach();
  chunk_attention(in.query, in.key, in.value, in.indices, in.weights, scale, s.plus_one).backward(grad_output);
  const std::vector<at::Tensor> found = float_results(in, grad_output, scale, s.plus_one);
  std::size_t i = 1;
  for (const at::Tensor& leaf : {in.query, in.key, in.value, in.weights}) {
    // Some hundred roundings of 2^-24, relative to the gradient as a whole.
    const double norm = leaf.grad().norm().item<double>();
    EXPECT_LE((found[i].to(at::kDouble) - leaf.grad()).norm().item<double>(), 3e-6 * norm) << "gradient " << i;
    ++i;
  }
}

TEST_P(ChunkAttention, DoesNotDependOnTheNumberOfThreads) {
  const Shape s = GetParam();
  const Inputs in = make_inputs(s);
  const at::Tensor grad_output = normal_leaf(in.query.sizes(), 5).detach();
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const std::vector<at::Tensor> expected = float_results(in, grad_output, 0.2, s.plus_one);
  // Seven threads are more than most shapes have key heads: backward takes its two passes.
  for (const int other : {2, 7}) {
    at::set_num_threads(other);
    const std::vector<at::Tensor> found = float_results(in, grad_output, 0.2, s.plus_one);
    for (std::size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(at::equal(found[i], expected[i])) << i << ", " << other;
  }
  at::set_num_threads(threads);
}

TEST(ChunkAttentionValues, AnyStridesAreRead) {
  const Inputs in = make_inputs({2, 3, 9, 4, 2, 16, 5, 6, 2, true});
  const at::Tensor grad_output = normal_leaf(in.query.sizes(), 5).detach();
  const std::vector<at::Tensor> expected = float_results(in, grad_output, 0.2, true);
  // Each tensor as a view of another layout: wider rows, and the last dimension not contiguous.
  const auto wide = [](const at::Tensor& x) { return at::constant_pad_nd(x, {3, 2}).narrow(-1, 3, x.size(-1)); };
  const auto turned = [](const at::Tensor& x) { return x.transpose(-1, -3).contiguous().transpose(-1, -3); };
  for (const bool turn : {false, true}) {
    const auto view = [&](const at::Tensor& x) {
      return turn ? turned(x.detach().to(at::kFloat)) : wide(x.detach().to(at::kFloat));
    };
    const at::Tensor query = view(in.query).set_requires_grad(true);
    const at::Tensor key = view(in.key).set_requires_grad(true);
    const at::Tensor value = view(in.value);
    const at::Tensor output = chunk_attention(query, key, value, in.indices, view(in.weights), 0.2, true);
    output.backward(view(grad_output));
    EXPECT_TRUE(at::equal(output, expected[0]));
    EXPECT_TRUE(at::equal(query.grad(), expected[1]));
    EXPECT_TRUE(at::equal(key.grad(), expected[2]));
  }
}

TEST(ChunkAttentionValues, FrozenInputsGetNoGradient) {
  const Inputs in = make_inputs({2, 3, 9, 4, 2, 16, 5, 6, 2, true});
  const at::Tensor grad_output = normal_leaf(in.query.sizes(), 5).detach();
  const std::vector<at::Tensor> expected = float_results(in, grad_output, 0.2, true);
  const std::vector<at::Tensor> inputs = {in.query, in.key, in.value, in.weights};
  for (std::size_t trained = 0; trained < inputs.size(); ++trained) {
    std::vector<at::Tensor> leaves;
    leaves.reserve(inputs.size());
    for (const at::Tensor& input : inputs) leaves.push_back(input.detach().to(at::kFloat));
    leaves[trained].set_requires_grad(true);
    chunk_attention(leaves[0], leaves[1], leaves[2], in.indices, leaves[3], 0.2, true)
        .backward(grad_output.to(at::kFloat));
    EXPECT_TRUE(at::equal(leaves[trained].grad(), expected[trained + 1])) << trained;
  }
}

TEST(ChunkAttentionValues, CompressedChunksAreReadAsTheirValues) {
  // 12 has no kernel.
  for (const std::int64_t head_dim : {16, 12}) {
    const Inputs in = make_inputs({2, 3, 9, 4, 2, head_dim, 5, 6, 2, true});
    const at::Tensor query = in.query.detach().to(at::kFloat);
    const at::Tensor weights = in.weights.detach().to(at::kFloat);
    const auto with_floats = [&](const at::Tensor& key, const at::Tensor& value) {
      return chunk_attention(query, key, value, in.indices, weights, 0.2, true);
    };
    for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
      const at::Tensor key = in.key.detach().to(type);
      const at::Tensor value = in.value.detach().to(type);
      EXPECT_TRUE(at::equal(with_floats(key, value), with_floats(key.to(at::kFloat), value.to(at::kFloat))));
    }
    const auto scaled = [](const at::Tensor& x) {
      const at::Tensor scales = x.abs().amax(-1) / 127;
      return ScaledChunks{(x / scales.unsqueeze(-1)).round().to(at::kChar), scales.to(at::kFloat)};
    };
    const ScaledChunks key = scaled(in.key.detach());
    const ScaledChunks value = scaled(in.value.detach());
    const at::Tensor found = chunk_attention(query, key, value, in.indices, weights, 0.2, true);
    const at::Tensor expected =
        with_floats(key.elements * key.scales.unsqueeze(-1), value.elements * value.scales.unsqueeze(-1));
    EXPECT_TRUE(at::equal(found, expected));
  }
}

TEST(ChunkAttentionValues, EmptySizesAreNoError) {
  const at::Tensor key = at::ones({1, 2, 3, 2, 16});
  const auto call = [&](std::int64_t chunks, std::int64_t top_k) {
    return chunk_attention(at::ones({1, chunks, 4, 2, 16}), key, key, at::zeros({1, chunks, top_k}, at::kLong),
                           at::ones({1, chunks, top_k}), 1, false);
  };
  EXPECT_EQ(call(0, 2).numel(), 0);
  EXPECT_EQ(call(2, 0).abs().max().item<float>(), 0);
}

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
  wrong.key = in.key.detach().to(at::kFloat);
  EXPECT_EQ(message(wrong), "value: expected the type of key (Float), found Double");
  wrong.value = in.value.detach().to(at::kFloat);
  EXPECT_EQ(message(wrong), "key: expected the type of query (Double), found Float");
  wrong.query = in.query.detach().to(at::kFloat).requires_grad_(true);
  wrong.key = in.key.detach().to(at::kHalf);
  wrong.value = in.value.detach().to(at::kHalf);
  EXPECT_EQ(message(wrong), "key: Half serves without gradients only; for training expected the type of query (Float)");
  wrong = in;
  wrong.weights = in.weights.narrow(2, 0, 1);
  EXPECT_EQ(message(wrong), "weights: expected the shape of indices [1, 2, 2], found [1, 2, 1]");
  wrong = in;
  wrong.value = in.value.narrow(2, 0, 3);
  EXPECT_EQ(message(wrong), "value: expected the shape of key [1, 5, 6, 2, 8], found [1, 5, 3, 2, 8]");
}

}  // namespace
}  // namespace lookback
