#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "kernels/aligned_floats.h"
#include "kernels/sliding_window.h"
#include "kernels/sliding_window_twin.h"

namespace lookback {
namespace {

using Sizes = SlidingWindowSizes;
using Inputs = SlidingWindowInputs;

// The tensors of a kernel call.
struct Call {
  std::vector<float> output, lse, grad_query, grad_key, grad_value;
  SlidingWindowParams params;
  SlidingWindowGradients gradients;
};

Call make_call(const Sizes& z, const Inputs& in) {
  Call call;
  // Not 0, where all must be written.
  call.output.assign(in.query.size(), NAN);
  call.lse.assign(in.query.size() / z.head_dim, NAN);
  call.grad_query.assign(in.query.size(), NAN);
  call.grad_key.assign(in.key.size(), 0);
  call.grad_value.assign(in.key.size(), 0);
  const auto rows = [&](const std::vector<float>& data, std::int64_t length, std::int64_t heads) {
    return SequenceRows{data.data(), length * heads * z.head_dim, heads * z.head_dim, z.head_dim};
  };
  call.params = {.batch_size = z.batch,
                 .num_queries = z.queries,
                 .num_past = z.past,
                 .num_heads = z.heads,
                 .num_kv_heads = z.kv_heads,
                 .head_dim = z.head_dim,
                 .window_size = z.window,
                 .position_bias = z.bias,
                 .softmax_scale = static_cast<float>(1 / std::sqrt(static_cast<double>(z.head_dim))),
                 .query = rows(in.query, z.queries, z.heads),
                 .key = rows(in.key, z.past + z.queries, z.kv_heads),
                 .value = rows(in.value, z.past + z.queries, z.kv_heads),
                 .output = call.output.data(),
                 .softmax_lse = call.lse.data()};
  call.gradients = {rows(in.grad_output, z.queries, z.heads), call.grad_query.data(), call.grad_key.data(),
                    call.grad_value.data()};
  return call;
}

void run_forward(Call& call, SimdLevel level) {
  const auto scratch = aligned_floats(sliding_window_forward_scratch(call.params));
  sliding_window_forward(call.params, 0, sliding_window_forward_items(call.params), scratch.get(), level);
}

void run_backward_by_heads(Call& call, SimdLevel level) {
  const auto scratch = aligned_floats(sliding_window_backward_scratch(call.params));
  sliding_window_backward_heads(call.params, call.gradients, 0, call.params.batch_size * call.params.num_kv_heads,
                                scratch.get(), level);
}

void run_backward_in_two_passes(Call& call, SimdLevel level) {
  const auto scratch = aligned_floats(sliding_window_backward_scratch(call.params));
  sliding_window_backward_queries(call.params, call.gradients, 0, sliding_window_forward_items(call.params),
                                  scratch.get(), level);
  // One item at a time, last first: items must not depend on each other.
  for (std::int64_t i = sliding_window_key_items(call.params); i > 0; --i) {
    sliding_window_backward_keys(call.params, call.gradients, i - 1, i, scratch.get(), level);
  }
}

// As for chunk attention; besides, the bias and the saved log of the sum are rounded once each, and a running
// maximum rescales what was summed before once a tile.
void compare_one(const Sizes& z, std::uint64_t seed) {
  const Inputs in = make_inputs(z, seed);
  const SlidingWindowTwin twin = sliding_window_twin(z, in);
  const double num_keys = static_cast<double>(std::min(z.window + 1, z.past + z.queries));
  const double score_error =
      (z.head_dim + 4) * unit_roundoff * twin.largest_dot_terms + 4 * unit_roundoff * (twin.largest_score + 10);
  const double probability_error = 2 * score_error + (num_keys + 12 + 8 * num_keys / 32) * unit_roundoff;
  const double gain_error = 2 * probability_error + (z.head_dim + num_keys + 8) * unit_roundoff;
  const std::int64_t num_readers = z.heads / z.kv_heads * (z.window + 1);
  const double key_error = gain_error + static_cast<double>(num_readers + 4) * unit_roundoff;
  for (const SimdLevel level : supported_simd_levels()) {
    SCOPED_TRACE(describe(z) + simd_level_name(level));
    Call call = make_call(z, in);
    run_forward(call, level);
    expect_within(call.output, twin.output, probability_error + num_keys * unit_roundoff, "output");
    run_backward_by_heads(call, level);
    expect_within(call.grad_query, twin.grad_query, gain_error + num_keys * unit_roundoff, "grad_query");
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

void compare(Sizes z, std::uint64_t seed) {
  for (const PositionBias bias : {PositionBias::alibi, PositionBias::none}) {
    z.bias = bias;
    compare_one(z, seed);
  }
}

TEST(SlidingWindowKernel, EveryTailOfQueriesAndWindows) {
  for (std::int64_t size = 1; size <= 20; ++size) compare({1, size, 20 - size, 1, 1, 16, size / 2}, size);
  for (std::int64_t window : {0, 1, 31, 62, 63, 64, 65, 100}) compare({1, 130, 0, 2, 2, 16, window}, 50 + window);
  for (std::int64_t past : {1, 31, 63, 64, 65, 127, 130}) compare({1, 70, past, 2, 2, 16, 64}, 500 + past);
}

TEST(SlidingWindowKernel, EveryHeadDim) {
  for (std::int64_t head_dim = 8; head_dim <= 256; head_dim += 8) {
    compare({1, 40, 3, 1, 1, head_dim, 33}, head_dim);
  }
}

TEST(SlidingWindowKernel, ShapesOfModels) {
  compare({2, 200, 0, 4, 4, 16, 128}, 1);  // the demo's, shorter
  compare({1, 150, 512, 3, 3, 64, 512}, 2);
  compare({1, 97, 40, 6, 2, 32, 50}, 3);   // grouped-query
  compare({3, 1, 40, 4, 4, 64, 31}, 4);    // decoding, more past than the window sees
  compare({3, 1, 17, 6, 2, 64, 31}, 5);    // decoding, window not yet full
  compare({1, 1, 0, 1, 1, 16, 4}, 6);      // a single position
  compare({1, 40, 0, 2, 1, 16, 1000}, 7);  // a window wider than the text
}

Sizes random_sizes(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto draw = [&](std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  };
  const std::int64_t kv_heads = draw(1, 3);
  return {.batch = draw(1, 2),
          .queries = draw(1, 150),
          .past = draw(0, 150),
          .heads = kv_heads * draw(1, 3),
          .kv_heads = kv_heads,
          .head_dim = 8 * draw(1, 9),
          .window = draw(0, 170)};
}

TEST(SlidingWindowKernel, RandomShapes) {
  for (std::uint64_t seed = 100; seed < 140; ++seed) compare(random_sizes(seed), seed);
}

}  // namespace
}  // namespace lookback
