// A training step (forward, backward, clipping, AdamW) with the kernels against the same step composed of tensor
// operations.
#include <benchmark/benchmark.h>

#include <random>

#include "bench_models.h"
#include "eval/demo_plan.h"
#include "models/cost.h"
#include "models/model.h"
#include "ops/composed_operators.h"
#include "side_by_side.h"
#include "train/batch_loss.h"
#include "train/clipping.h"
#include "train/generator.h"
#include "train/optimizer.h"

namespace lookback {
namespace {

TokenBatch random_batch(const ModelConfig& config, std::int64_t num_sequences, std::int64_t length,
                        std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<std::int64_t> id(0, 255);
  TokenBatch batch;
  batch.num_sequences = num_sequences;
  batch.length = length;
  for (std::int64_t i = 0; i < num_sequences * length; ++i) {
    batch.input_ids.push_back(id(random));
    batch.labels.push_back(id(random) % config.vocab_size);
  }
  return batch;
}

void BM_TrainingStep(benchmark::State& state, const ModelConfig& config, std::int64_t num_sequences,
                     std::int64_t length, const at::TensorOptions& tensors) {
  const std::unique_ptr<Model> model = make_model(config, tensors.device(), 1);
  AdamW optimizer(model->parameters(), TrainConfig{});
  const TokenBatch batch = random_batch(config, num_sequences, length, 1);
  ForwardOptions options;
  options.training = true;
  options.generator = make_generator(tensors.device(), 1);
  options.dtype = c10::typeMetaToScalarType(tensors.dtype());
  const auto step = [&] {
    benchmark::DoNotOptimize(accumulate_gradients(*model, {&batch, 1}, options));
    clip_gradients(model->parameters(), 1);
    optimizer.step(0);
    model->parameters().zero_gradients();
  };
  run_contest(state, {.ours = step,
                      .rivals = {{"composed",
                                  [&] {
                                    const ComposedOperators composed;
                                    step();
                                  }}},
                      .tensors = tensors,
                      .flops = static_cast<double>(num_sequences) * training_flops(config, length)});
}
// `lookback demo`'s model, at the last stage of its curriculum.
BENCHMARK_CAPTURE(BM_TrainingStep, demo, make_demo_plan(256, 0, demo_default_steps, false).drt, 6, 496, at::kFloat)
    ->Iterations(20)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_TrainingStep, seven_million, seven_million(), 1, 4032, at::kFloat)
    ->Iterations(3)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

// configs/drt-128m.toml's.
ModelConfig one_hundred_twenty_eight_million() {
  ModelConfig config = seven_million();
  config.vocab_size = 50'258;
  config.landmark_id = 50'257;
  config.hidden_size = 768;
  config.intermediate_size = 2048;
  config.num_heads = config.num_kv_heads = 12;
  config.own<DrtConfig>().decoder_layers = {6, 6};
  return config;
}

// On a GPU, in bfloat16.
void add(const char* name, const ModelConfig& config, std::int64_t num_sequences, std::int64_t length) {
  benchmark::RegisterBenchmark(name, BM_TrainingStep, config, num_sequences, length, on_gpu(at::kBFloat16))
      ->Iterations(2)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

const bool added = [] {
  if (!at::hasCUDA()) return false;
  add("BM_TrainingStep/gpu_seven_million", seven_million(), 1, 4032);
  add("BM_TrainingStep/gpu_128m", one_hundred_twenty_eight_million(), 1, 16'380);
  return true;
}();

}  // namespace
}  // namespace lookback
