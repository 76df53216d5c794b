#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/aligned_floats.h"
#include "kernels/landmark_attention.h"
#include "kernels/landmark_attention_twin.h"

namespace lookback {
namespace {

using Sizes = LandmarkAttentionTwinSizes;
using Inputs = LandmarkAttentionInputs;

// The tensors of a kernel call.
struct Call {
  std::vector<float> output, lse, grad_query, grad_key, grad_value;
  std::vector<std::uint8_t> unread;
  LandmarkAttentionParams params;
  LandmarkAttentionGradients gradients;
};

Call make_call(const Sizes& z, const Inputs& in) {
  Call call;
  // Not 0, where all must be written.
  call.output.assign(in.query.size(), NAN);
  call.lse.assign(in.query.size() / z.head_dim, NAN);
  call.grad_query.assign(in.query.size(), NAN);
  call.grad_key.assign(in.key.size(), 0);
  call.grad_value.assign(in.key.size(), 0);
  call.unread.assign(static_cast<std::size_t>(z.batch * z.heads * z.blocks * z.length()), 0);
  const auto rows = [&](const std::vector<float>& data, std::int64_t heads) {
    return SequenceRows{data.data(), z.length() * heads * z.head_dim, heads * z.head_dim, z.head_dim};
  };
  call.params = {.batch_size = z.batch,
                 .num_blocks = z.blocks,
                 .num_heads = z.heads,
                 .num_kv_heads = z.kv_heads,
                 .head_dim = z.head_dim,
                 .block_size = z.block_size,
                 .window_size = z.window,
                 .top_k = z.top_k,
                 .softmax_scale = static_cast<float>(1 / std::sqrt(static_cast<double>(z.head_dim))),
                 .query = rows(in.query, z.heads),
                 .key = rows(in.key, z.kv_heads),
                 .value = rows(in.value, z.kv_heads),
                 .output = call.output.data(),
                 .softmax_lse = call.lse.data(),
                 .unread = z.top_k > 0 ? call.unread.data() : nullptr};
  call.gradients = {rows(in.grad_output, z.heads), call.grad_query.data(), call.grad_key.data(),
                    call.grad_value.data()};
  return call;
}

void run_forward(Call& call, SimdLevel level) {
  const auto scratch = aligned_floats(landmark_attention_forward_scratch(call.params));
  // One item at a time, last first: items must not depend on each other.
  for (std::int64_t i = landmark_attention_forward_items(call.params); i > 0; --i) {
    landmark_attention_forward(call.params, i - 1, i, scratch.get(), level);
  }
}

void run_backward_by_heads(Call& call, SimdLevel level) {
  const auto scratch = aligned_floats(landmark_attention_backward_scratch(call.params));
  landmark_attention_backward_heads(call.params, call.gradients, 0, call.params.batch_size * call.params.num_kv_heads,
                                    scratch.get(), level);
}

void run_backward_in_two_passes(Call& call, SimdLevel level) {
  const auto scratch = aligned_floats(landmark_attention_backward_scratch(call.params));
  landmark_attention_backward_queries(call.params, call.gradients, 0, landmark_attention_forward_items(call.params),
                                      scratch.get(), level);
  for (std::int64_t i = landmark_attention_key_items(call.params); i > 0; --i) {
    landmark_attention_backward_keys(call.params, call.gradients, i - 1, i, scratch.get(), level);
  }
}

// As for the sliding window, but that a probability is the product of two softmaxes'.
void compare(const Sizes& z, std::uint64_t seed) {
  const Inputs in = make_inputs(z, seed);
  const LandmarkAttentionTwin twin = landmark_attention_twin(z, in);
  const auto num_keys = static_cast<double>(z.block_size + z.blocks);  // under one softmax
  const double score_error =
      (z.head_dim + 4) * unit_roundoff * twin.largest_dot_terms + 4 * unit_roundoff * (twin.largest_score + 10);
  const double probability_error = 2 * (2 * score_error + (num_keys + 12) * unit_roundoff);
  const double read_error = (z.block_size + z.blocks + 4) * unit_roundoff;
  const double gain_error = 2 * probability_error + (z.head_dim + num_keys + 8) * unit_roundoff + read_error;
  const std::int64_t num_readers = z.heads / z.kv_heads * z.length();
  const double key_error = gain_error + static_cast<double>(num_readers + 4) * unit_roundoff;
  for (const SimdLevel level : supported_simd_levels()) {
    SCOPED_TRACE(describe(z) + simd_level_name(level));
    Call call = make_call(z, in);
    run_forward(call, level);
    expect_within(call.output, twin.output, probability_error + read_error, "output");
    run_backward_by_heads(call, level);
    expect_within(call.grad_query, twin.grad_query, gain_error + read_error, "grad_query");
    expect_within(call.grad_key, twin.grad_key, key_error, "grad_key");
    expect_within(call.grad_value, twin.grad_value, key_error, "grad_value");

    Call other = make_call(z, in);
    run_forward(other, level);
    run_backward_in_two_passes(other, level);
    EXPECT_EQ(call.grad_query, other.grad_query);
    EXPECT_EQ(call.grad_key, other.grad_key);
    EXPECT_EQ(call.grad_value, other.grad_value);
  }
}

TEST(LandmarkAttentionKernel, EveryTailOfBlocks) {
  for (std::int64_t block_size = 2; block_size <= 20; ++block_size) {
    compare({1, 4, 1, 1, 16, block_size, block_size / 2, 0}, block_size);
  }
  for (std::int64_t block_size : {63, 64, 65, 72, 130}) compare({1, 3, 2, 2, 16, block_size, 70, 0}, block_size);
  for (std::int64_t num_blocks : {1, 2, 9, 17}) compare({2, num_blocks, 2, 1, 8, 7, 9, 0}, 300 + num_blocks);
}

TEST(LandmarkAttentionKernel, EveryWindow) {
  for (std::int64_t window : {0, 1, 6, 7, 8, 9, 13, 14, 15, 16, 17, 1000}) {
    compare({1, 6, 2, 2, 16, 8, window, 0}, 50 + window);
    compare({1, 6, 2, 2, 16, 8, window, 2}, 50 + window);
  }
}

TEST(LandmarkAttentionKernel, EveryHeadDim) {
  for (std::int64_t head_dim = 8; head_dim <= 256; head_dim += 8) {
    compare({1, 3, 1, 1, head_dim, 33, 20, 0}, head_dim);
  }
}

TEST(LandmarkAttentionKernel, ChoosesTheBestBlocks) {
  for (std::int64_t top_k : {1, 2, 3, 11, 12, 13, 100}) compare({1, 13, 4, 2, 16, 5, 0, top_k}, 700 + top_k);
  compare({1, 20, 3, 3, 32, 16, 30, 4}, 800);
}

TEST(LandmarkAttentionKernel, OfEqualLandmarksTheNearestAreBest) {
  const Sizes z{1, 20, 2, 2, 8, 4, 0, 3};
  Inputs in = make_inputs(z, 1);
  for (std::int64_t block = 1; block < z.blocks; ++block) {
    const std::int64_t row = z.kv_heads * z.head_dim;
    std::copy_n(&in.key[3 * row], row, &in.key[(block * 4 + 3) * row]);
  }
  const LandmarkAttentionTwin twin = landmark_attention_twin(z, in);
  for (const SimdLevel level : supported_simd_levels()) {
    Call call = make_call(z, in);
    run_forward(call, level);
    expect_within(call.output, twin.output, 1e-4, "output");
  }
}

Sizes random_sizes(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto draw = [&](std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  };
  const std::int64_t kv_heads = draw(1, 3);
  const std::int64_t block_size = draw(2, 40);
  return {draw(1, 2),   draw(1, 160 / block_size), kv_heads * draw(1, 3), kv_heads, 8 * draw(1, 9), block_size,
          draw(0, 100), draw(0, 1) * draw(0, 4)};
}

TEST(LandmarkAttentionKernel, RandomShapes) {
  for (std::uint64_t seed = 100; seed < 140; ++seed) compare(random_sizes(seed), seed);
}

}  // namespace
}  // namespace lookback
