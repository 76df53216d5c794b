// The exact search for the best of a large memory's landmarks, in 8 bits first, against all scores in float32 and their
// largest.
#include <ATen/core/grad_mode.h>
#include <benchmark/benchmark.h>

#include "retrieval/causal_top_k.h"
#include "retrieval/exact_index.h"
#include "side_by_side.h"

namespace lookback {
namespace {

void BM_Search(benchmark::State& state) {
  const at::NoGradGuard no_gradients;
  const std::int64_t num_queries = state.range(0), num_landmarks = state.range(1), size = state.range(2);
  constexpr std::int64_t top_k = 8;
  const at::Tensor landmarks = at::randn({num_landmarks, size});
  const ExactIndex index(landmarks, at::kCPU);
  const at::Tensor query = at::randn({num_queries, size});
  run_contest(
      state,
      {.ours = [&] { benchmark::DoNotOptimize(index.best(query, top_k)); },
       .rivals = {{"product_in_blocks", [&] { benchmark::DoNotOptimize(index.best_by_product(query, top_k)); }},
                  {"all_scores", [&] { benchmark::DoNotOptimize(chunk_scores(query, landmarks).topk(top_k, 1)); }}},
       .bytes_read = static_cast<double>(num_landmarks * size)});
}
// Sixteen million tokens in chunks of 63 with d = 256, and of 31 with d = 64.
BENCHMARK(BM_Search)
    ->Args({1, 253'968, 256})
    ->Args({4, 253'968, 256})
    ->Args({1, 516'129, 64})
    ->Args({64, 253'968, 256})
    ->Iterations(10)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace lookback
