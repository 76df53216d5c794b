// Chunk attention against the best that tensor operations compose: gather, scaled_dot_product_attention, weighted sum,
// and the project's own composed operator.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <benchmark/benchmark.h>

#include <cmath>

#include "ops/chunk_attention.h"
#include "ops/chunk_attention_composed.h"
#include "side_by_side.h"

namespace lookback {
namespace {

// The letters of docs/model.md; key heads are as many as heads.
struct Shape {
  std::int64_t batch, chunks, positions, heads, head_dim, stored, chunk_size, top_k;
};

constexpr Shape paper{1, 256, 64, 12, 64, 256, 64, 8};
// A batch of configs/drt-128m.toml.
constexpr Shape batch_128m{4, 259, 64, 12, 64, 260, 63, 8};
constexpr Shape demo{6, 16, 32, 4, 16, 16, 31, 4};
// The 7M model's (d = 256), over a memory of 16 million tokens; the same memory among 16 sequences.
constexpr Shape decode{1, 1, 1, 4, 64, 250'000, 63, 8};
constexpr Shape decode_batch{16, 1, 1, 4, 64, 15'625, 63, 8};
// Next to nothing to read: what an operator's start takes when its own code has to come from memory too.
constexpr Shape decode_start{1, 1, 1, 4, 64, 250'000, 1, 8};

struct Inputs {
  at::Tensor query, key, value, indices, weights;
};

// Weights are float32, whatever the type of the others.
Inputs make_inputs(const Shape& s, const at::TensorOptions& tensors, bool train) {
  Inputs in;
  in.query = at::randn({s.batch, s.chunks, s.positions, s.heads, s.head_dim}, tensors);
  in.key = at::randn({s.batch, s.stored, s.chunk_size, s.heads, s.head_dim}, tensors);
  in.value = at::randn_like(in.key);
  in.indices = at::randint(s.stored, {s.batch, s.chunks, s.top_k}, tensors.dtype(at::kLong));
  in.weights = at::softmax(at::randn({s.batch, s.chunks, s.top_k}, tensors.dtype(at::kFloat)), -1);
  for (at::Tensor* const leaf : {&in.query, &in.key, &in.value, &in.weights}) leaf->set_requires_grad(train);
  return in;
}

at::Tensor run_ours(const Inputs& in) {
  return chunk_attention(in.query, in.key, in.value, in.indices, in.weights,
                         1 / std::sqrt(static_cast<double>(in.query.size(4))), false);
}

at::Tensor run_composed(const Inputs& in) {
  return chunk_attention_composed(in.query, in.key, in.value, in.indices, in.weights,
                                  1 / std::sqrt(static_cast<double>(in.query.size(4))), false);
}

// [N, E, S, H, D] -> [N C K, H, S, D].
at::Tensor gather(const at::Tensor& chunks, const at::Tensor& indices) {
  const at::Tensor offsets = at::arange(indices.size(0), indices.options()).view({-1, 1, 1}) * chunks.size(1);
  return chunks.flatten(0, 1).index_select(0, (indices + offsets).flatten()).transpose(1, 2);
}

at::Tensor run_sdpa(const Inputs& in) {
  const at::Tensor query = in.query
                               .transpose(2, 3)  // [N, C, H, P, D]
                               .unsqueeze(2)
                               .expand({-1, -1, in.indices.size(2), -1, -1, -1})
                               .flatten(0, 2);
  const at::Tensor outputs =
      at::scaled_dot_product_attention(query, gather(in.key, in.indices), gather(in.value, in.indices));
  const at::Tensor weighted =
      outputs.view({in.query.size(0), in.query.size(1), in.indices.size(2), in.query.size(3), in.query.size(2),
                    in.query.size(4)}) *
      in.weights.to(outputs.scalar_type()).view({in.weights.size(0), in.weights.size(1), -1, 1, 1, 1});
  return weighted.sum(2).transpose(2, 3);
}

using Run = at::Tensor (*)(const Inputs&);

void forward(Run run, const Inputs& in) {
  const at::NoGradGuard no_gradients;
  benchmark::DoNotOptimize(run(in));
}

void forward_and_backward(Run run, const Inputs& in, const at::Tensor& grad_output) {
  run(in).backward(grad_output);
  for (const at::Tensor* const leaf : {&in.query, &in.key, &in.value, &in.weights}) leaf->mutable_grad().reset();
}

// Scores and output are two products.
double product_flops(const Shape& s) {
  return 2.0 * static_cast<double>(s.batch * s.chunks * s.positions * s.heads) *
         static_cast<double>(s.head_dim * s.chunk_size * s.top_k);
}

std::int64_t gather_bytes(const Shape& s, const at::TensorOptions& tensors) {
  return 2 * s.batch * s.chunks * s.top_k * s.chunk_size * s.heads * s.head_dim *
         static_cast<std::int64_t>(tensors.dtype().itemsize());
}

void BM_ChunkAttentionForward(benchmark::State& state, const Shape& shape, const at::TensorOptions& tensors) {
  const Inputs in = make_inputs(shape, tensors, false);
  run_contest(state,
              {.ours = [&] { forward(run_ours, in); },
               .rivals = {{"sdpa", [&] { forward(run_sdpa, in); }}, {"composed", [&] { forward(run_composed, in); }}},
               .tensors = tensors,
               .flops = 2 * product_flops(shape),
               .result_bytes = static_cast<std::int64_t>(in.query.nbytes()),
               .gather_bytes = gather_bytes(shape, tensors)});
}
BENCHMARK_CAPTURE(BM_ChunkAttentionForward, paper, paper, at::kFloat)
    ->Iterations(5)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_ChunkAttentionForward, demo, demo, at::kFloat)
    ->Iterations(50)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

// Backward is five products: scores again, gains, and three gradients.
void BM_ChunkAttentionTraining(benchmark::State& state, const Shape& shape, const at::TensorOptions& tensors) {
  const Inputs in = make_inputs(shape, tensors, true);
  const at::Tensor grad_output = at::randn(in.query.sizes(), tensors);
  const auto with_backward = [&](Run run) { return [&, run] { forward_and_backward(run, in, grad_output); }; };
  // Output, and the gradients of all inputs.
  const std::size_t result_bytes = 2 * in.query.nbytes() + in.key.nbytes() + in.value.nbytes() + in.weights.nbytes();
  run_contest(state, {.ours = with_backward(run_ours),
                      .rivals = {{"sdpa", with_backward(run_sdpa)}, {"composed", with_backward(run_composed)}},
                      .tensors = tensors,
                      .flops = 7 * product_flops(shape),
                      .result_bytes = static_cast<std::int64_t>(result_bytes),
                      .gather_bytes = gather_bytes(shape, tensors)});
}
BENCHMARK_CAPTURE(BM_ChunkAttentionTraining, paper, paper, at::kFloat)
    ->Iterations(3)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_ChunkAttentionTraining, demo, demo, at::kFloat)
    ->Iterations(50)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

// Every turn retrieves other chunks, so that they come from memory. Only those that are ever retrieved are filled: the
// others' pages are never touched, and need not exist.
void BM_ChunkAttentionDecode(benchmark::State& state, const Shape& shape, const at::TensorOptions& tensors) {
  const std::int64_t num_filled = 512 / shape.batch;
  Inputs in = make_inputs(
      {shape.batch, shape.chunks, shape.positions, shape.heads, shape.head_dim, 1, shape.chunk_size, shape.top_k},
      tensors, false);
  in.key = at::empty({shape.batch, shape.stored, shape.chunk_size, shape.heads, shape.head_dim}, tensors);
  in.value = at::empty_like(in.key);
  const at::Tensor filled = at::randint(shape.stored, {num_filled}, at::kLong);
  for (std::int64_t i = 0; i < num_filled; ++i) {
    in.key.select(1, filled[i].item<std::int64_t>()).normal_();
    in.value.select(1, filled[i].item<std::int64_t>()).normal_();
  }
  const auto choose_chunks = [&] {
    in.indices = filled.index_select(0, at::randint(num_filled, {shape.batch * shape.top_k}, at::kLong))
                     .view({shape.batch, 1, shape.top_k})
                     .to(tensors.device());
  };
  run_contest(state,
              {.prepare = choose_chunks,
               .ours = [&] { forward(run_ours, in); },
               .rivals = {{"sdpa", [&] { forward(run_sdpa, in); }}, {"composed", [&] { forward(run_composed, in); }}},
               .tensors = tensors,
               .flops = 2 * product_flops(shape),
               .result_bytes = static_cast<std::int64_t>(in.query.nbytes()),
               .gather_bytes = gather_bytes(shape, tensors),
               .bytes_read = static_cast<double>(gather_bytes(shape, tensors))});
}
BENCHMARK_CAPTURE(BM_ChunkAttentionDecode, memory_of_250000, decode, at::kFloat)
    ->Iterations(200)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(BM_ChunkAttentionDecode, start, decode_start, at::kFloat)
    ->Iterations(200)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(BM_ChunkAttentionDecode, sixteen_sequences, decode_batch, at::kFloat)
    ->Iterations(50)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

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
  add("BM_ChunkAttentionForward/gpu_paper", BM_ChunkAttentionForward, paper);
  add("BM_ChunkAttentionForward/gpu_128m", BM_ChunkAttentionForward, batch_128m);
  add("BM_ChunkAttentionTraining/gpu_paper", BM_ChunkAttentionTraining, paper);
  add("BM_ChunkAttentionTraining/gpu_128m", BM_ChunkAttentionTraining, batch_128m);
  add("BM_ChunkAttentionDecode/gpu_memory_of_250000", BM_ChunkAttentionDecode, decode);
  add("BM_ChunkAttentionDecode/gpu_sixteen_sequences", BM_ChunkAttentionDecode, decode_batch);
  return true;
}();

}  // namespace
}  // namespace lookback
