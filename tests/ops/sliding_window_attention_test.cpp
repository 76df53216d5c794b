#include "ops/sliding_window_attention.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "ops/attention_twins.h"
#include "ops/rotary.h"

namespace lookback {
namespace {

struct Shape {
  std::int64_t batch, length, past, heads, kv_heads, head_dim, window;
};

void PrintTo(const Shape& s, std::ostream* out) {
  *out << "N" << s.batch << " L" << s.length << " M" << s.past << " H" << s.heads << " Hkv" << s.kv_heads << " D"
       << s.head_dim << " W" << s.window;
}

using Case = std::tuple<Shape, PositionBias>;
class SlidingWindowAttention : public testing::TestWithParam<Case> {};

TEST_P(SlidingWindowAttention, AgreesWithThePlainFormula) {
  const auto [s, bias] = GetParam();
  const at::Tensor query = normal_leaf({s.batch, s.length, s.heads, s.head_dim}, 1);
  const at::Tensor key = normal_leaf({s.batch, s.past + s.length, s.kv_heads, s.head_dim}, 2);
  const at::Tensor value = normal_leaf({s.batch, s.past + s.length, s.kv_heads, s.head_dim}, 3);
  const at::Tensor grad_output = normal_leaf(query.sizes(), 4).detach();
  std::vector<at::Tensor> expected_gradients;
  const at::Tensor expected = plain_sliding_window_attention(query, key, value, s.window, bias);
  (expected * grad_output).sum().backward();
  for (const at::Tensor& leaf : {query, key, value}) {
    expected_gradients.push_back(leaf.grad().clone());
    leaf.mutable_grad().reset();
  }

  const at::Tensor output = sliding_window_attention(query, key, value, s.window, bias);
  EXPECT_LT(largest_difference(output, expected), 1e-12);
  (output * grad_output).sum().backward();
  std::size_t i = 0;
  for (const at::Tensor& leaf : {query, key, value}) {
    EXPECT_LT(largest_difference(leaf.grad(), expected_gradients[i]), 1e-11) << "gradient " << i;
    ++i;
  }

  // float32 and bfloat16 stay within their rounding of the same inputs (unit roundoff times a few, values below 5).
  const auto in_type = [&, window = s.window, bias = bias](at::ScalarType type) {
    return sliding_window_attention(query.detach().to(type), key.detach().to(type), value.detach().to(type), window,
                                    bias);
  };
  EXPECT_LT(largest_difference(in_type(at::kFloat), expected), 1e-5);
  EXPECT_LT(largest_difference(in_type(at::kBFloat16), expected), 0.12);
}

const std::vector<Shape> kernel_shapes = {
    {1, 1, 0, 1, 1, 8, 4},         // a single position
    {2, 300, 0, 4, 4, 16, 50},     // many blocks, last one partial
    {1, 257, 0, 4, 2, 8, 31},      // grouped-query
    {1, 40, 0, 6, 1, 8, 100},      // window wider than the text
    {2, 1, 17, 2, 2, 8, 31},       // decoding, window not yet full
    {2, 1, 40, 2, 2, 8, 31},       // decoding, more past than the window sees
    {1, 65, 31, 2, 1, 8, 31},      // a segment after a full window
    {1, 70, 5, 2, 2, 8, 31},       // a segment after a few positions
    {1, 9, 0, 2, 2, 8, 0},         // a window of itself alone
    {3, 1100, 100, 4, 2, 32, 512}  // several groups of blocks
};
const std::vector<Shape> composed_shapes = {{1, 70, 3, 2, 2, 12, 20}};  // no kernel for this head dim
const auto biases = testing::Values(PositionBias::alibi, PositionBias::none);

INSTANTIATE_TEST_SUITE_P(Kernel, SlidingWindowAttention, testing::Combine(testing::ValuesIn(kernel_shapes), biases));
INSTANTIATE_TEST_SUITE_P(Composed, SlidingWindowAttention,
                         testing::Combine(testing::ValuesIn(composed_shapes), biases));

// Output and gradients of a float32 call.
std::vector<at::Tensor> float_results(const std::vector<at::Tensor>& inputs, const at::Tensor& grad_output,
                                      std::int64_t window, PositionBias bias) {
  std::vector<at::Tensor> leaves;
  leaves.reserve(inputs.size());
  for (const at::Tensor& input : inputs) leaves.push_back(input.detach().to(at::kFloat).set_requires_grad(true));
  const at::Tensor output = sliding_window_attention(leaves[0], leaves[1], leaves[2], window, bias);
  output.backward(grad_output.to(at::kFloat));
  return {output.detach(), leaves[0].grad(), leaves[1].grad(), leaves[2].grad()};
}

std::vector<at::Tensor> make_inputs(const Shape& s) {
  const std::vector<std::int64_t> key_shape = {s.batch, s.past + s.length, s.kv_heads, s.head_dim};
  return {normal_leaf({s.batch, s.length, s.heads, s.head_dim}, 1), normal_leaf(key_shape, 2),
          normal_leaf(key_shape, 3)};
}

TEST_P(SlidingWindowAttention, GradientsInFloat32AgreeWithFloat64) {
  const auto [s, bias] = GetParam();
  const std::vector<at::Tensor> inputs = make_inputs(s);
  const at::Tensor grad_output = normal_leaf(inputs[0].sizes(), 4).detach();
  sliding_window_attention(inputs[0], inputs[1], inputs[2], s.window, bias).backward(grad_output);
  const std::vector<at::Tensor> found = float_results(inputs, grad_output, s.window, bias);
  // Some hundred roundings of 2^-24 relative to the whole gradient. Where a query sees itself alone its gradient and
  // that of its key are 0, the difference of two equal sums of 10 or so.
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const double norm = inputs[i].grad().norm().item<double>();
    const double error = (found[i + 1].to(at::kDouble) - inputs[i].grad()).norm().item<double>();
    EXPECT_LE(error, 3e-6 * norm + 1e-4) << "gradient " << i;
  }
}

class SlidingWindowThreads : public testing::TestWithParam<Case> {};

TEST_P(SlidingWindowThreads, DoNotChangeTheResults) {
  const auto [s, bias] = GetParam();
  const std::vector<at::Tensor> inputs = make_inputs(s);
  const at::Tensor grad_output = normal_leaf(inputs[0].sizes(), 4).detach();
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const std::vector<at::Tensor> expected = float_results(inputs, grad_output, s.window, bias);
  // Seven threads are more than most shapes have key heads: backward takes its two passes.
  for (const int other : {2, 7}) {
    at::set_num_threads(other);
    const std::vector<at::Tensor> found = float_results(inputs, grad_output, s.window, bias);
    for (std::size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(at::equal(found[i], expected[i])) << i << ", " << other;
  }
  at::set_num_threads(threads);
}

INSTANTIATE_TEST_SUITE_P(Kernel, SlidingWindowThreads, testing::Combine(testing::ValuesIn(kernel_shapes), biases));
INSTANTIATE_TEST_SUITE_P(Composed, SlidingWindowThreads,
                         testing::Combine(testing::ValuesIn(composed_shapes), testing::Values(PositionBias::alibi)));

class WindowWithRotaryPositions : public testing::TestWithParam<Shape> {};

// Queries and keys turned by their positions before, wherever in a long text these are: in float64, by the composed
// operator, and in float32, by the kernels.
TEST_P(WindowWithRotaryPositions, AgreesWithTurningByTheDistance) {
  const Shape s = GetParam();
  constexpr double theta = 500;
  constexpr std::int64_t first_position = 20'000;
  const std::vector<at::Tensor> inputs = make_inputs(s);
  const at::Tensor grad_output = normal_leaf(inputs[0].sizes(), 4).detach();
  const at::Tensor expected =
      plain_sliding_window_attention(inputs[0], inputs[1], inputs[2], s.window, PositionBias::none, theta);
  expected.backward(grad_output);
  const auto compare = [&](at::ScalarType type, double relative, double absolute) {
    std::vector<at::Tensor> leaves;
    for (const at::Tensor& input : inputs) leaves.push_back(input.detach().to(type).set_requires_grad(true));
    const auto turned = [&](const at::Tensor& x, std::int64_t first) {
      const at::Tensor positions = at::arange(first_position + first, first_position + first + x.size(1), at::kLong);
      return rotary(x, make_rotary_table(positions, s.head_dim, theta, at::TensorOptions(type)));
    };
    const at::Tensor output = sliding_window_attention(turned(leaves[0], s.past), turned(leaves[1], 0), leaves[2],
                                                       s.window, PositionBias::none);
    output.backward(grad_output.to(type));
    EXPECT_LT(largest_difference(output, expected), absolute) << c10::toString(type);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const double norm = inputs[i].grad().norm().item<double>();
      const double error = (leaves[i].grad().to(at::kDouble) - inputs[i].grad()).norm().item<double>();
      EXPECT_LE(error, relative * norm + 10 * absolute) << c10::toString(type) << ", gradient " << i;
    }
  };
  // 20,000 radians are exact to 4e-12 in float64.
  compare(at::kDouble, 1e-10, 1e-10);
  compare(at::kFloat, 3e-6, 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Shapes, WindowWithRotaryPositions,
                         testing::Values(Shape{2, 150, 0, 4, 2, 16, 50},  // many blocks, grouped-query
                                         Shape{2, 1, 40, 2, 2, 8, 31},    // decoding
                                         Shape{1, 70, 5, 2, 2, 8, 31},    // a segment after a few positions
                                         Shape{1, 9, 0, 2, 2, 8, 0},      // a window of itself alone
                                         Shape{1, 70, 3, 2, 2, 12, 20}    // no kernel for this head dim
                                         ));

TEST(SlidingWindowAttentionValues, AnyStridesAreReadAndFrozenInputsGetNoGradient) {
  const std::vector<at::Tensor> inputs = make_inputs({2, 70, 5, 4, 2, 16, 31});
  const at::Tensor grad_output = normal_leaf(inputs[0].sizes(), 4).detach();
  const std::vector<at::Tensor> expected = float_results(inputs, grad_output, 31, PositionBias::alibi);
  const auto wide = [](const at::Tensor& x) { return at::constant_pad_nd(x, {3, 2}).narrow(-1, 3, x.size(-1)); };
  const auto turned = [](const at::Tensor& x) { return x.transpose(-1, -3).contiguous().transpose(-1, -3); };
  for (std::size_t trained = 0; trained < inputs.size(); ++trained) {
    std::vector<at::Tensor> views;
    for (const at::Tensor& input : inputs) {
      const at::Tensor single = input.detach().to(at::kFloat);
      views.push_back(views.size() == trained ? wide(single) : turned(single));
    }
    views[trained].set_requires_grad(true);
    const at::Tensor output = sliding_window_attention(views[0], views[1], views[2], 31, PositionBias::alibi);
    output.backward(turned(grad_output.to(at::kFloat)));
    EXPECT_TRUE(at::equal(output, expected[0]));
    EXPECT_TRUE(at::equal(views[trained].grad(), expected[trained + 1])) << trained;
  }
}

TEST(SlidingWindowAttentionErrors, NameTheArgument) {
  const at::Tensor query = at::zeros({1, 4, 4, 8});
  const auto message = [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, std::int64_t window) {
    try {
      sliding_window_attention(q, k, v, window, PositionBias::alibi);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("none");
  };
  EXPECT_EQ(message(query, at::zeros({1, 4, 3, 8}), at::zeros({1, 4, 3, 8}), 2),
            "key: its 3 heads must divide the query's 4");
  EXPECT_EQ(message(query, at::zeros({1, 3, 4, 8}), at::zeros({1, 3, 4, 8}), 2),
            "key: expected at least the query's 4 positions, found 3");
  EXPECT_EQ(message(query, query, at::zeros({1, 5, 4, 8}), 2),
            "value: expected the shape of key [1, 4, 4, 8], found [1, 5, 4, 8]");
  EXPECT_EQ(message(query, query.to(at::kDouble), query, 2), "key: expected the type of query (Float), found Double");
  EXPECT_EQ(message(query[0], query, query, 2), "query: expected [N, L, H, D], found [4, 4, 8]");
  EXPECT_EQ(message(query, query, query, -1), "window_size: expected 0 or more, found -1");
}

}  // namespace
}  // namespace lookback
