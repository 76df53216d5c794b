// The GPU kernels of sliding-window attention in an emulated block of threads, against the float64 twin.
#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/cuda/sliding_window.h"
#include "kernels/emulated_attention.h"
#include "kernels/sliding_window_twin.h"

namespace lookback {
namespace {

using Sizes = SlidingWindowSizes;
using Inputs = SlidingWindowInputs;

// The tensors of a call; inputs are rounded to Half.
template <class Half>
struct Call {
  Inputs in;
  HalfArray query, key, value, grad_output;
  HalfArray output, grad_query, grad_key, grad_value;
  std::vector<float> softmax_lse, mean_gain;
  cuda::SlidingWindowParams params;
  cuda::SlidingWindowGradients gradients;

  Call(const Sizes& z, Inputs inputs)
      : in(std::move(inputs)),
        query(round_to_half<Half>(in.query)),
        key(round_to_half<Half>(in.key)),
        value(round_to_half<Half>(in.value)),
        grad_output(round_to_half<Half>(in.grad_output)),
        output(unwritten(query.size())),
        grad_query(unwritten(query.size())),
        grad_key(unwritten(key.size())),
        grad_value(unwritten(key.size())),
        softmax_lse(query.size() / z.head_dim, NAN),
        mean_gain(softmax_lse) {
    const auto rows = [&](const HalfArray& data, std::int64_t length, std::int64_t heads) {
      return cuda::Rows{data.data(), length * heads * z.head_dim, 0, heads * z.head_dim, z.head_dim};
    };
    params = {.batch_size = static_cast<int>(z.batch),
              .num_queries = static_cast<int>(z.queries),
              .num_past = static_cast<int>(z.past),
              .num_heads = static_cast<int>(z.heads),
              .num_kv_heads = static_cast<int>(z.kv_heads),
              .head_dim = static_cast<int>(z.head_dim),
              .window_size = static_cast<int>(z.window),
              .position_bias = z.bias,
              .softmax_scale = static_cast<float>(1 / std::sqrt(static_cast<double>(z.head_dim))),
              .query = rows(query, z.queries, z.heads),
              .key = rows(key, z.past + z.queries, z.kv_heads),
              .value = rows(value, z.past + z.queries, z.kv_heads),
              .output = output.data(),
              .softmax_lse = softmax_lse.data()};
    gradients = {.grad_output = rows(grad_output, z.queries, z.heads),
                 .mean_gain = mean_gain.data(),
                 .grad_query = grad_query.data(),
                 .grad_key = grad_key.data(),
                 .grad_value = grad_value.data()};
  }
};

template <class Half, int Dim>
void run(Call<Half>& call, TurnOrder order) {
  run_emulated<cuda::SlidingWindowForwardKernel<Half, Dim>>(query_items(call.params), order, call.params);
  run_emulated<cuda::SlidingWindowBackwardQueriesKernel<Half, Dim>>(query_items(call.params), order, call.params,
                                                                    call.gradients);
  run_emulated<cuda::SlidingWindowBackwardKeysKernel<Half, Dim>>(key_items(call.params), order, call.params,
                                                                 call.gradients);
}

// float32 inside, as for the CPU's kernels; what is multiplied on tensor cores once more, the output that the mean gain
// is computed from, and the results are rounded to Half.
template <class Half, int Dim>
void compare(const Sizes& z, std::uint64_t seed, TurnOrder order = TurnOrder::ascending) {
  SCOPED_TRACE(describe(z) + HalfNumbers<Half>::name);
  Call<Half> call(z, make_inputs(z, seed));
  const SlidingWindowTwin twin = sliding_window_twin(z, call.in);
  run<Half, Dim>(call, order);
  const double num_keys = static_cast<double>(std::min(z.window + 1, z.past + z.queries));
  const std::int64_t group = z.heads / z.kv_heads;
  const double num_readers = static_cast<double>(group * std::min(z.window + 1, z.queries));
  const double score_error =
      (z.head_dim + 4) * unit_roundoff * twin.largest_dot_terms + 6 * unit_roundoff * (twin.largest_score + 10);
  const double probability_error = 2 * score_error + (num_keys + 12 + 8 * num_keys / 32) * unit_roundoff;
  const double gain_error = 2 * probability_error + (z.head_dim + num_keys + 8) * unit_roundoff;
  const double half_error = 2.01 * HalfNumbers<Half>::unit_roundoff;
  const double score_half_error = 3.01 * HalfNumbers<Half>::unit_roundoff;
  expect_within(floats_of<Half>(call.output), twin.output, half_error + gain_error, "output",
                smallest_error<Half>(num_keys));
  expect_within(floats_of<Half>(call.grad_query), twin.grad_query, score_half_error + gain_error, "grad_query",
                smallest_error<Half>(num_keys));
  const double key_error = gain_error + (num_readers + 4) * unit_roundoff;
  expect_within(floats_of<Half>(call.grad_key), twin.grad_key, score_half_error + key_error, "grad_key",
                smallest_error<Half>(num_readers));
  expect_within(floats_of<Half>(call.grad_value), twin.grad_value, half_error + key_error, "grad_value",
                smallest_error<Half>(num_readers));
}

TEST(CudaSlidingWindow, WindowsAndPasts) {
  for (const std::int64_t window : {0, 1, 63, 64, 65, 200}) {
    compare<cuda::Bfloat16, 32>({1, 130, 0, 1, 1, 16, window}, 20 + window);
  }
  for (const std::int64_t past : {1, 63, 64, 100}) {
    compare<cuda::Float16, 32>({1, 66, past, 1, 1, 24, 40}, 300 + past, TurnOrder::descending);
  }
}

TEST(CudaSlidingWindow, ShapesOfModels) {
  compare<cuda::Bfloat16, 64>({1, 70, 30, 1, 1, 64, 64}, 1);
  compare<cuda::Float16, 32>({1, 33, 40, 4, 2, 32, 50}, 2);  // grouped-query
  compare<cuda::Bfloat16, 64>({2, 1, 90, 4, 2, 40, 31}, 3);  // decoding, more past than the window sees
  compare<cuda::Float16, 32>({1, 1, 0, 1, 1, 16, 4}, 4);     // a single position
}

TEST(CudaSlidingWindow, WithoutPositionBias) {
  constexpr PositionBias none = PositionBias::none;
  compare<cuda::Bfloat16, 32>({1, 130, 10, 4, 2, 24, 65, none}, 7);
  compare<cuda::Float16, 64>({2, 1, 90, 2, 1, 64, 31, none}, 8);  // decoding
}

TEST(CudaSlidingWindow, WideHeads) {
  compare<cuda::Float16, 128>({1, 20, 3, 1, 1, 104, 9}, 5);
  compare<cuda::Bfloat16, 256>({1, 20, 3, 1, 1, 200, 9}, 6);
}

}  // namespace
}  // namespace lookback
