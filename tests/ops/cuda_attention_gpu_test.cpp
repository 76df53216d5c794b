// The attention operators on a GPU, in bfloat16 and float16, against the composed ones in float64 on the CPU.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <optional>
#include <random>
#include <utility>

#include "ops/chunk_attention.h"
#include "ops/chunk_attention_composed.h"
#include "ops/composed_operators.h"
#include "ops/cuda_attention.h"
#include "ops/sliding_window_attention.h"
#include "ops/sliding_window_attention_composed.h"

namespace lookback {
namespace {

class CudaAttention : public testing::TestWithParam<at::ScalarType> {
 protected:
  void SetUp() override {
    // Machines that compile the kernels need no card, and what is compared here exists on a card only.
    if (!at::hasCUDA()) GTEST_SKIP() << "no GPU";
    at::manual_seed(1);
  }

  // Normal numbers that the type holds exactly, in float64 on the CPU.
  at::Tensor draw(at::IntArrayRef sizes) const { return at::randn(sizes, at::kDouble).to(GetParam()).to(at::kDouble); }

  at::Tensor on_gpu(const at::Tensor& tensor) const { return tensor.to(at::Device(at::kCUDA), GetParam()); }

  // As flash attention's tests: within twice the error that plain operations in the same type make. `rounding`: what
  // float32 may make of a result whose terms cancel, which plain operations may happen to get exactly.
  static void expect_as_good(const at::Tensor& found, const at::Tensor& plain, const at::Tensor& exact,
                             const char* name, double rounding = 0) {
    const double largest = exact.abs().max().item<double>();
    const double plain_error = (plain.to(at::kCPU, at::kDouble) - exact).abs().max().item<double>();
    const double error = (found.to(at::kCPU, at::kDouble) - exact).abs().max().item<double>();
    EXPECT_LE(error, 2 * plain_error + 1e-5 * largest + rounding) << name;
  }

  void compare_chunk_attention(at::IntArrayRef query_sizes, at::IntArrayRef key_sizes, std::int64_t top_k,
                               bool plus_one) const {
    const at::Tensor query = draw(query_sizes);
    const at::Tensor key = draw(key_sizes);
    const at::Tensor value = draw(key_sizes);
    const at::Tensor grad_output = draw(query_sizes);
    const at::Tensor indices = at::randint(-1, key_sizes[1], {query_sizes[0], query_sizes[1], top_k}, at::kLong);
    const at::Tensor weights = at::rand(indices.sizes(), at::kDouble).to(at::kFloat).to(at::kDouble);
    const double scale = 1 / std::sqrt(static_cast<double>(query_sizes[4]));
    const at::Tensor exact = chunk_attention_composed(query, key, value, indices, weights, scale, plus_one);
    const ChunkAttentionGrads exact_grads =
        chunk_attention_composed_backward(grad_output, query, key, value, indices, weights, scale, plus_one);

    const at::Tensor gpu_indices = indices.cuda();
    const at::Tensor gpu_weights = weights.to(at::Device(at::kCUDA), at::kFloat);
    ASSERT_TRUE(has_cuda_kernel(on_gpu(query)));
    const auto run = [&](bool composed) {
      const std::optional<ComposedOperators> off =
          composed ? std::optional<ComposedOperators>(std::in_place) : std::nullopt;
      const at::Tensor output =
          chunk_attention(on_gpu(query), on_gpu(key), on_gpu(value), gpu_indices, gpu_weights, scale, plus_one);
      const ChunkAttentionGrads grads = chunk_attention_backward(
          on_gpu(grad_output), on_gpu(query), on_gpu(key), on_gpu(value), gpu_indices, gpu_weights, scale, plus_one);
      return std::pair(output, grads);
    };
    const auto [output, grads] = run(false);
    const auto [plain, plain_grads] = run(true);
    expect_as_good(output, plain, exact, "output");
    expect_as_good(grads.query, plain_grads.query, exact_grads.query, "grad_query");
    expect_as_good(grads.key, plain_grads.key, exact_grads.key, "grad_key");
    expect_as_good(grads.value, plain_grads.value, exact_grads.value, "grad_value");
    expect_as_good(grads.weights, plain_grads.weights, exact_grads.weights, "grad_weights");
    const auto [again, again_grads] = run(false);
    EXPECT_TRUE(at::equal(output, again));
    EXPECT_TRUE(at::equal(grads.key, again_grads.key));
    EXPECT_TRUE(at::equal(grads.value, again_grads.value));
  }

  void compare_sliding_window(at::IntArrayRef query_sizes, std::int64_t past, std::int64_t kv_heads,
                              std::int64_t window, PositionBias bias = PositionBias::alibi) const {
    const std::vector<std::int64_t> key_sizes = {query_sizes[0], past + query_sizes[1], kv_heads, query_sizes[3]};
    const at::Tensor query = draw(query_sizes);
    const at::Tensor key = draw(key_sizes);
    const at::Tensor value = draw(key_sizes);
    const at::Tensor grad_output = draw(query_sizes);
    const at::Tensor exact = sliding_window_attention_composed(query, key, value, window, bias);
    const SlidingWindowGrads exact_grads =
        sliding_window_attention_composed_backward(grad_output, query, key, value, window, bias);
    const auto run = [&](bool composed) {
      const std::optional<ComposedOperators> off =
          composed ? std::optional<ComposedOperators>(std::in_place) : std::nullopt;
      const SlidingWindowForward forward =
          sliding_window_attention_forward(on_gpu(query), on_gpu(key), on_gpu(value), window, bias);
      return std::pair(forward.output,
                       sliding_window_attention_backward(on_gpu(grad_output), on_gpu(query), on_gpu(key), on_gpu(value),
                                                         forward, window, bias));
    };
    const auto [output, grads] = run(false);
    const auto [plain, plain_grads] = run(true);
    // A gain and the mean gain, two sums of D products, are the same where a window holds one key.
    const auto largest = [](const at::Tensor& tensor) { return tensor.abs().max().item<double>(); };
    const double gain_rounding = std::sqrt(static_cast<double>(query_sizes[3])) *
                                 std::numeric_limits<float>::epsilon() * largest(grad_output) * largest(value);
    expect_as_good(output, plain, exact, "output");
    expect_as_good(grads.query, plain_grads.query, exact_grads.query, "grad_query", gain_rounding * largest(key));
    expect_as_good(grads.key, plain_grads.key, exact_grads.key, "grad_key", gain_rounding * largest(query));
    expect_as_good(grads.value, plain_grads.value, exact_grads.value, "grad_value");
  }
};

TEST_P(CudaAttention, ChunkAttentionOfModels) {
  compare_chunk_attention({1, 16, 64, 12, 64}, {1, 16, 64, 12, 64}, 8, false);  // the paper's
  compare_chunk_attention({2, 8, 32, 4, 16}, {2, 8, 31, 4, 16}, 4, true);       // the demo's
  compare_chunk_attention({2, 1, 1, 12, 64}, {2, 500, 64, 2, 64}, 8, true);     // decoding, grouped-query
}

TEST_P(CudaAttention, ChunkAttentionOfRandomShapes) {
  std::mt19937_64 random(7);
  const auto draw_size = [&](std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  };
  for (int i = 0; i < 100; ++i) {
    const std::int64_t batch = draw_size(1, 3);
    const std::int64_t kv_heads = draw_size(1, 3);
    const std::int64_t head_dim = 8 * draw_size(2, 32);
    const std::int64_t heads = kv_heads * draw_size(1, 4);
    compare_chunk_attention({batch, draw_size(1, 5), draw_size(1, 100), heads, head_dim},
                            {batch, draw_size(1, 7), draw_size(1, 150), kv_heads, head_dim}, draw_size(1, 6),
                            i % 2 == 0);
  }
}

TEST_P(CudaAttention, SlidingWindow) {
  compare_sliding_window({1, 1000, 12, 64}, 0, 12, 512);
  compare_sliding_window({2, 300, 4, 16}, 0, 4, 128);
  compare_sliding_window({1, 200, 6, 128}, 512, 2, 512);
  compare_sliding_window({3, 1, 4, 64}, 40, 4, 31);
  for (const std::int64_t window : {0, 1, 63, 64, 65}) compare_sliding_window({1, 130, 2, 32}, 70, 1, window);
  for (const std::int64_t head_dim : {16, 24, 72, 136, 256}) compare_sliding_window({1, 100, 2, head_dim}, 9, 1, 50);
}

TEST_P(CudaAttention, SlidingWindowWithoutPositionBias) {
  compare_sliding_window({1, 300, 12, 64}, 70, 6, 128, PositionBias::none);
  compare_sliding_window({3, 1, 4, 64}, 40, 4, 31, PositionBias::none);
}

// The kernels say so themselves, in a process that then has no more use of the card.
TEST_P(CudaAttention, AnIndexOfNoStoredChunk) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const at::Tensor rows = draw({1, 2, 3, 1, 16});
  const at::Tensor weights = at::ones({1, 2, 1});
  const auto read = [&](std::int64_t index) {
    try {
      chunk_attention(on_gpu(rows), on_gpu(rows), on_gpu(rows), at::full({1, 2, 1}, index, at::kLong).cuda(),
                      weights.cuda(), 1, false)
          .cpu();
    } catch (const std::exception& error) {
      std::cerr << error.what();
      std::abort();
    }
  };
  EXPECT_DEATH(read(2), "indices: expected -1 to the number of stored chunks - 1");
}

INSTANTIATE_TEST_SUITE_P(Types, CudaAttention, testing::Values(at::kBFloat16, at::kHalf),
                         [](const auto& type) { return c10::toString(type.param); });

}  // namespace
}  // namespace lookback
