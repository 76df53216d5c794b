// Against loops over positions in float64, written from the formulas of nearest_attention.h.
#include "nn/nearest_attention.h"

#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace lookback {
namespace {

constexpr std::int64_t num_sequences = 2, num_queries = 19, num_before = 6, num_heads = 4, num_kv_heads = 2,
                       head_dim = 5, width = 7;

at::Tensor normal(at::IntArrayRef shape, std::uint64_t seed) {
  return at::normal(0.0, 1.0, shape, at::detail::createCPUGenerator(seed), at::TensorOptions(at::kDouble));
}

// The rows that the query at key row i reads, by scores of all rows.
std::vector<std::int64_t> nearest_rows(const at::Tensor& scores, std::int64_t i, const NearestAttentionSizes& sizes) {
  const std::int64_t end = std::max<std::int64_t>(0, i - sizes.window_size);
  const std::int64_t begin = std::max<std::int64_t>(0, end - sizes.memory_size);
  std::vector<std::int64_t> rows(static_cast<std::size_t>(end - begin));
  std::iota(rows.begin(), rows.end(), begin);
  std::ranges::sort(
      rows, [&](std::int64_t a, std::int64_t b) { return scores[a].item<double>() > scores[b].item<double>(); });
  rows.resize(std::min(rows.size(), static_cast<std::size_t>(sizes.top_k)));
  return rows;
}

// softmax over the chosen rows of key [J, D] and value [J, D].
at::Tensor attend_to_rows(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                          const std::vector<std::int64_t>& rows) {
  if (rows.empty()) return at::zeros_like(query);
  const at::Tensor index = at::tensor(rows, at::kLong);
  const at::Tensor scores = at::matmul(key.index_select(0, index), query) / std::sqrt(static_cast<double>(head_dim));
  return at::matmul(at::softmax(scores, 0), value.index_select(0, index));
}

at::Tensor nearest_by_loops(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            const NearestAttentionSizes& sizes) {
  std::vector<at::Tensor> outputs;
  for (std::int64_t n = 0; n < num_sequences; ++n) {
    for (std::int64_t t = 0; t < num_queries; ++t) {
      for (std::int64_t h = 0; h < num_heads; ++h) {
        const at::Tensor keys = key[n].select(1, h / (num_heads / num_kv_heads));
        const at::Tensor values = value[n].select(1, h / (num_heads / num_kv_heads));
        const auto rows = nearest_rows(at::matmul(keys, query[n][t][h]).detach(), num_before + t, sizes);
        outputs.push_back(attend_to_rows(query[n][t][h], keys, values, rows));
      }
    }
  }
  return at::stack(outputs).view({num_sequences, num_queries, num_heads, head_dim});
}

at::Tensor nearest_states_by_loops(const at::Tensor& query, const at::Tensor& states, const at::Tensor& key_weight,
                                   const at::Tensor& value_weight, const NearestAttentionSizes& sizes) {
  const auto of_heads = [&](const at::Tensor& weight) {
    return at::matmul(states, weight.t()).unflatten(-1, {num_kv_heads, head_dim});
  };
  const at::Tensor key = of_heads(key_weight);
  const at::Tensor value = of_heads(value_weight);
  std::vector<at::Tensor> outputs;
  for (std::int64_t n = 0; n < num_sequences; ++n) {
    for (std::int64_t t = 0; t < num_queries; ++t) {
      const auto rows = nearest_rows(at::matmul(states[n], states[n][num_before + t]).detach(), num_before + t, sizes);
      for (std::int64_t h = 0; h < num_heads; ++h) {
        const std::int64_t kv = h / (num_heads / num_kv_heads);
        outputs.push_back(attend_to_rows(query[n][t][h], key[n].select(1, kv), value[n].select(1, kv), rows));
      }
    }
  }
  return at::stack(outputs).view({num_sequences, num_queries, num_heads, head_dim});
}

void expect_same(const at::Tensor& found, const at::Tensor& expected, const std::vector<at::Tensor>& inputs) {
  EXPECT_LT((found - expected).abs().max().item<double>(), 1e-12);
  const at::Tensor weights = normal(expected.sizes(), 9);
  const auto gradients = [&](const at::Tensor& output) {
    return torch::autograd::grad({(output * weights).sum()}, inputs);
  };
  const auto found_gradients = gradients(found);
  const auto expected_gradients = gradients(expected);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_LT((found_gradients[i] - expected_gradients[i]).abs().max().item<double>(), 1e-11) << "input " << i;
  }
}

class NearestAttention : public testing::TestWithParam<NearestAttentionSizes> {};

TEST_P(NearestAttention, EqualsLoops) {
  const at::Tensor query = normal({num_sequences, num_queries, num_heads, head_dim}, 1).requires_grad_();
  const at::Tensor key = normal({num_sequences, num_before + num_queries, num_kv_heads, head_dim}, 2).requires_grad_();
  const at::Tensor value = normal(key.sizes(), 3).requires_grad_();
  expect_same(nearest_attention(query, key, value, GetParam()), nearest_by_loops(query, key, value, GetParam()),
              {query, key, value});
}

TEST_P(NearestAttention, OfStatesEqualsLoops) {
  const at::Tensor query = normal({num_sequences, num_queries, num_heads, head_dim}, 1).requires_grad_();
  const at::Tensor states = normal({num_sequences, num_before + num_queries, width}, 2).requires_grad_();
  const at::Tensor key_weight = normal({num_kv_heads * head_dim, width}, 3).requires_grad_();
  const at::Tensor value_weight = normal(key_weight.sizes(), 4).requires_grad_();
  expect_same(nearest_state_attention(query, states, key_weight, value_weight, GetParam()),
              nearest_states_by_loops(query, states, key_weight, value_weight, GetParam()),
              {query, states, key_weight, value_weight});
}

INSTANTIATE_TEST_SUITE_P(Sizes, NearestAttention,
                         testing::Values(NearestAttentionSizes{3, 8, 2}, NearestAttentionSizes{0, 100, 4},
                                         NearestAttentionSizes{9, 4, 50}, NearestAttentionSizes{12, 6, 1}));

}  // namespace
}  // namespace lookback
