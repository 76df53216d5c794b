// Against one softmax over the retrieved positions of each query, taken one by one in float64.
#include "ops/joint_chunk_attention.h"

#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <vector>

namespace lookback {
namespace {

at::Tensor normal(at::IntArrayRef shape, std::uint64_t seed) {
  return at::normal(0.0, 1.0, shape, at::detail::createCPUGenerator(seed), at::TensorOptions(at::kDouble))
      .requires_grad_();
}

TEST(JointChunkAttention, EqualsASoftmaxOverAllPositions) {
  constexpr std::int64_t num_sequences = 2, num_chunks = 3, num_stored = 4, num_queries = 2, chunk_size = 3,
                         num_heads = 2, head_dim = 5;
  const at::Tensor query = normal({num_sequences, num_chunks, num_queries, num_heads, head_dim}, 1);
  const at::Tensor key = normal({num_sequences, num_stored, chunk_size, num_heads, head_dim}, 2);
  const at::Tensor value = normal({num_sequences, num_stored, chunk_size, num_heads, head_dim}, 3);
  const at::Tensor indices =
      at::tensor({-1, -1, 2, -1, 3, 1, 0, -1, -1, -1, 1, 1}, at::kLong).view({num_sequences, num_chunks, 2});
  std::vector<at::Tensor> rows;
  for (std::int64_t n = 0; n < num_sequences; ++n) {
    for (std::int64_t c = 0; c < num_chunks; ++c) {
      for (std::int64_t t = 0; t < num_queries; ++t) {
        for (std::int64_t h = 0; h < num_heads; ++h) {
          std::vector<at::Tensor> keys, values;
          for (std::int64_t k = 0; k < 2; ++k) {
            const auto chunk = indices[n][c][k].item<std::int64_t>();
            if (chunk < 0) continue;
            keys.push_back(key[n][chunk].select(1, h));
            values.push_back(value[n][chunk].select(1, h));
          }
          if (keys.empty()) {
            rows.push_back(at::zeros({head_dim}, at::kDouble));
            continue;
          }
          const at::Tensor scores =
              at::matmul(at::cat(keys), query[n][c][t][h]) / std::sqrt(static_cast<double>(head_dim));
          rows.push_back(at::matmul(at::softmax(scores, 0), at::cat(values)));
        }
      }
    }
  }
  const at::Tensor expected = at::stack(rows).view({num_sequences, num_chunks, num_queries, num_heads, head_dim});
  const at::Tensor found = joint_chunk_attention(query, key, value, indices);
  EXPECT_LT((found - expected).abs().max().item<double>(), 1e-14);
  const at::Tensor weights = normal(expected.sizes(), 4).detach();
  const auto gradients = [&](const at::Tensor& output) {
    return torch::autograd::grad({(output * weights).sum()}, {query, key, value});
  };
  const auto of_found = gradients(found);
  const auto of_expected = gradients(expected);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_LT((of_found[i] - of_expected[i]).abs().max().item<double>(), 1e-13) << i;
  }
}

}  // namespace
}  // namespace lookback
