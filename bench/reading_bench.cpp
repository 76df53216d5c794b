// Reading a text for memory (lower layers and encoder) against the whole forward of the same model, which is all that
// other implementations have.
#include <ATen/core/grad_mode.h>
#include <benchmark/benchmark.h>

#include "bench_models.h"
#include "eval/demo_plan.h"
#include "models/model.h"
#include "side_by_side.h"

namespace lookback {
namespace {

void BM_ReadChunks(benchmark::State& state, const ModelConfig& config, std::int64_t num_chunks) {
  const at::NoGradGuard no_gradients;
  const std::unique_ptr<Model> model = make_model(config, at::kCPU, 1);
  model->parameters().freeze(at::kFloat);
  const at::Tensor ids = at::randint(0, 128, {1, num_chunks * config.chunk_size}, at::kLong);
  run_contest(state,
              {.ours = [&] { benchmark::DoNotOptimize(model->read_chunks(ids, 0, at::kFloat)); },
               .rivals = {{"whole_forward", [&] {
                             benchmark::DoNotOptimize(model->logits(model->hidden_states(ids, ForwardOptions{})));
                           }}}});
}
BENCHMARK_CAPTURE(BM_ReadChunks, demo, make_demo_plan(256, 0, demo_default_steps, false).drt, 512)
    ->Iterations(20)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_ReadChunks, seven_million, seven_million(), 256)
    ->Iterations(3)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace lookback
