#include "ops/sliding_window_attention.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "ops/attention_twins.h"

namespace lookback {
namespace {

struct Shape {
  std::int64_t batch, length, past, heads, kv_heads, head_dim, window;
};

void PrintTo(const Shape& s, std::ostream* out) {
  *out << "N" << s.batch << " L" << s.length << " M" << s.past << " H" << s.heads << " Hkv" << s.kv_heads << " D"
       << s.head_dim << " W" << s.window;
}

class SlidingWindowAttention : public testing::TestWithParam<Shape> {};

TEST_P(SlidingWindowAttention, AgreesWithThePlainFormula) {
  const Shape s = GetParam();
  const at::Tensor query = normal_leaf({s.batch, s.length, s.heads, s.head_dim}, 1);
  const at::Tensor key = normal_leaf({s.batch, s.past + s.length, s.kv_heads, s.head_dim}, 2);
  const at::Tensor value = normal_leaf({s.batch, s.past + s.length, s.kv_heads, s.head_dim}, 3);
  const at::Tensor grad_output = normal_leaf(query.sizes(), 4).detach();
  std::vector<at::Tensor> expected_gradients;
  const at::Tensor expected = plain_sliding_window_attention(query, key, value, s.window);
  (expected * grad_output).sum().backward();
  for (const at::Tensor& leaf : {query, key, value}) {
    expected_gradients.push_back(leaf.grad().clone());
    leaf.mutable_grad().reset();
  }

  const at::Tensor output = sliding_window_attention(query, key, value, s.window);
  EXPECT_LT(largest_difference(output, expected), 1e-12);
  (output * grad_output).sum().backward();
  std::size_t i = 0;
  for (const at::Tensor& leaf : {query, key, value}) {
    EXPECT_LT(largest_difference(leaf.grad(), expected_gradients[i]), 1e-11) << "gradient " << i;
    ++i;
  }

  // float32 and bfloat16 stay within their rounding of the same inputs (unit roundoff times a few, values below 5).
  const auto in_type = [&](at::ScalarType type) {
    return sliding_window_attention(query.detach().to(type), key.detach().to(type), value.detach().to(type), s.window);
  };
  EXPECT_LT(largest_difference(in_type(at::kFloat), expected), 1e-5);
  EXPECT_LT(largest_difference(in_type(at::kBFloat16), expected), 0.12);
}

INSTANTIATE_TEST_SUITE_P(Shapes, SlidingWindowAttention,
                         testing::Values(Shape{1, 1, 0, 1, 1, 8, 4},         // a single position
                                         Shape{2, 300, 0, 4, 4, 16, 50},     // many blocks, last one partial
                                         Shape{1, 257, 0, 4, 2, 8, 31},      // grouped-query
                                         Shape{1, 40, 0, 6, 1, 8, 100},      // window wider than the text
                                         Shape{2, 1, 17, 2, 2, 8, 31},       // decoding, window not yet full
                                         Shape{2, 1, 40, 2, 2, 8, 31},       // decoding, more past than the window sees
                                         Shape{1, 65, 31, 2, 1, 8, 31},      // a segment after a full window
                                         Shape{1, 70, 5, 2, 2, 8, 31},       // a segment after a few positions
                                         Shape{1, 9, 0, 2, 2, 8, 0},         // a window of itself alone
                                         Shape{3, 1100, 100, 4, 2, 32, 512}  // several groups of blocks
                                         ));

TEST(SlidingWindowAttentionErrors, NameTheArgument) {
  const at::Tensor query = at::zeros({1, 4, 4, 8});
  const auto message = [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, std::int64_t window) {
    try {
      sliding_window_attention(q, k, v, window);
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
