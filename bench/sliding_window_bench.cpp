// Sliding-window attention against scaled_dot_product_attention in blocks, with ALiBi and the window as its mask, and
// against the project's own composed operator.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>

#include "ops/sliding_window_attention.h"
#include "ops/sliding_window_attention_composed.h"
#include "side_by_side.h"

namespace lookback {
namespace {

struct Shape {
  std::int64_t batch, length, past, heads, head_dim, window;
};

constexpr Shape paper{1, 4096, 0, 12, 64, 512};
// A batch of configs/drt-128m.toml.
constexpr Shape batch_128m{4, 16'640, 0, 12, 64, 512};
constexpr Shape demo{6, 512, 0, 4, 16, 128};
constexpr Shape decode{1, 1, 512, 12, 64, 512};

struct Inputs {
  at::Tensor query, key, value;
  std::int64_t window;
};

Inputs make_inputs(const Shape& s, const at::TensorOptions& tensors, bool train) {
  Inputs in{at::randn({s.batch, s.length, s.heads, s.head_dim}, tensors),
            at::randn({s.batch, s.past + s.length, s.heads, s.head_dim}, tensors),
            at::randn({s.batch, s.past + s.length, s.heads, s.head_dim}, tensors), s.window};
  for (at::Tensor* const leaf : {&in.query, &in.key, &in.value}) leaf->set_requires_grad(train);
  return in;
}

at::Tensor run_ours(const Inputs& in) {
  return sliding_window_attention(in.query, in.key, in.value, in.window, PositionBias::alibi);
}

at::Tensor run_composed(const Inputs& in) {
  return sliding_window_attention_composed(in.query, in.key, in.value, in.window, PositionBias::alibi);
}

// ALiBi's bias of queries [first, first + count) on key rows [begin, end), -inf outside the window: [H, count, keys].
at::Tensor bias(const Inputs& in, std::int64_t first, std::int64_t count, std::int64_t begin, std::int64_t end) {
  const std::int64_t num_heads = in.query.size(2);
  const at::TensorOptions floats = in.query.options().dtype(at::kFloat);
  const at::Tensor distance =
      at::arange(first, first + count, floats).unsqueeze(1) - at::arange(begin, end, floats).unsqueeze(0);
  const at::Tensor slopes = at::exp2(at::arange(1, num_heads + 1, floats) * (-8.0 / static_cast<double>(num_heads)));
  return (slopes.view({-1, 1, 1}) * -distance)
      .masked_fill(distance.lt(0).logical_or(distance.gt(in.window)), -INFINITY)
      .to(in.query.scalar_type());
}

at::Tensor run_blocked_sdpa(const Inputs& in) {
  const std::int64_t past = in.key.size(1) - in.query.size(1);
  // A quarter of the window: larger blocks waste scores, smaller ones start more operations.
  const std::int64_t block = std::max<std::int64_t>(in.window / 4, 32);
  std::vector<at::Tensor> outputs;
  for (std::int64_t first = 0; first < in.query.size(1); first += block) {
    const std::int64_t count = std::min(block, in.query.size(1) - first);
    const std::int64_t begin = std::max<std::int64_t>(0, past + first - in.window);
    const std::int64_t end = past + first + count;
    const at::Tensor mask = bias(in, past + first, count, begin, end).unsqueeze(0);
    outputs.push_back(at::scaled_dot_product_attention(in.query.narrow(1, first, count).transpose(1, 2),
                                                       in.key.narrow(1, begin, end - begin).transpose(1, 2),
                                                       in.value.narrow(1, begin, end - begin).transpose(1, 2), mask)
                          .transpose(1, 2));
  }
  return at::cat(outputs, 1);
}

using Run = at::Tensor (*)(const Inputs&);

void forward(Run run, const Inputs& in) {
  const at::NoGradGuard no_gradients;
  benchmark::DoNotOptimize(run(in));
}

// One product over what the window holds.
double product_flops(const Shape& s) {
  double num_keys = 0;
  for (std::int64_t i = 0; i < s.length; ++i) num_keys += static_cast<double>(std::min(s.past + i, s.window) + 1);
  return 2.0 * num_keys * static_cast<double>(s.batch * s.heads * s.head_dim);
}

// A window's keys and values for each block of as many queries as it has keys.
std::int64_t gather_bytes(const Shape& s, const at::TensorOptions& tensors) {
  const std::int64_t num_blocks = (s.length + s.window - 1) / s.window;
  return 2 * s.batch * num_blocks * 2 * s.window * s.heads * s.head_dim *
         static_cast<std::int64_t>(tensors.dtype().itemsize());
}

void BM_SlidingWindowForward(benchmark::State& state, const Shape& shape, const at::TensorOptions& tensors) {
  const Inputs in = make_inputs(shape, tensors, false);
  const bool decoding = shape.length == 1;
  run_contest(state, {.ours = [&] { forward(run_ours, in); },
                      .rivals = {{"sdpa", [&] { forward(run_blocked_sdpa, in); }},
                                 {"composed", [&] { forward(run_composed, in); }}},
                      .tensors = tensors,
                      .flops = 2 * product_flops(shape),
                      .result_bytes = static_cast<std::int64_t>(in.query.nbytes()),
                      .gather_bytes = gather_bytes(shape, tensors),
                      .bytes_read = decoding ? static_cast<double>(in.key.nbytes() + in.value.nbytes()) : 0});
}
BENCHMARK_CAPTURE(BM_SlidingWindowForward, paper, paper, at::kFloat)
    ->Iterations(10)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_SlidingWindowForward, demo, demo, at::kFloat)
    ->Iterations(50)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_SlidingWindowForward, decode, decode, at::kFloat)
    ->Iterations(200)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

void BM_SlidingWindowTraining(benchmark::State& state, const Shape& shape, const at::TensorOptions& tensors) {
  const Inputs in = make_inputs(shape, tensors, true);
  const at::Tensor grad_output = at::randn(in.query.sizes(), tensors);
  const auto with_backward = [&](Run run) {
    return [&, run] {
      run(in).backward(grad_output);
      for (const at::Tensor* const leaf : {&in.query, &in.key, &in.value}) leaf->mutable_grad().reset();
    };
  };
  run_contest(state, {.ours = with_backward(run_ours),
                      .rivals = {{"sdpa", with_backward(run_blocked_sdpa)}, {"composed", with_backward(run_composed)}},
                      .tensors = tensors,
                      .flops = 7 * product_flops(shape),
                      .result_bytes = static_cast<std::int64_t>(2 * in.query.nbytes() + 2 * in.key.nbytes()),
                      .gather_bytes = gather_bytes(shape, tensors)});
}
BENCHMARK_CAPTURE(BM_SlidingWindowTraining, paper, paper, at::kFloat)
    ->Iterations(5)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_SlidingWindowTraining, demo, demo, at::kFloat)
    ->Iterations(50)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

// The same on a GPU, in bfloat16.
void add(const char* name, void (*contest)(benchmark::State&, const Shape&, const at::TensorOptions&),
         const Shape& shape) {
  benchmark::RegisterBenchmark(name, contest, shape, on_gpu(at::kBFloat16))
      ->Iterations(10)
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

const bool added = [] {
  if (!at::hasCUDA()) return false;
  add("BM_SlidingWindowForward/gpu_paper", BM_SlidingWindowForward, paper);
  add("BM_SlidingWindowForward/gpu_128m", BM_SlidingWindowForward, batch_128m);
  add("BM_SlidingWindowForward/gpu_decode", BM_SlidingWindowForward, decode);
  add("BM_SlidingWindowTraining/gpu_paper", BM_SlidingWindowTraining, paper);
  add("BM_SlidingWindowTraining/gpu_128m", BM_SlidingWindowTraining, batch_128m);
  return true;
}();

}  // namespace
}  // namespace lookback
