// A training step (forward, backward, clipping, AdamW) with the kernels against the same step composed of tensor
// operations; and one of each kind of model beside those of the sliding window and of DRT.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>

#include "bench_models.h"
#include "core/error.h"
#include "eval/compare_plan.h"
#include "eval/demo_plan.h"
#include "models/cost.h"
#include "models/model.h"
#include "ops/composed_operators.h"
#include "side_by_side.h"
#include "train/batch_loss.h"
#include "train/clipping.h"
#include "train/generator.h"
#include "train/optimizer.h"
#include "train/run_config.h"
#include "train/toml.h"

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

// One step on one batch, again and again.
class TrainingStep {
 public:
  TrainingStep(const ModelConfig& config, std::int64_t num_sequences, std::int64_t length,
               const at::TensorOptions& tensors)
      : model_(make_model(config, tensors.device(), 1)),
        optimizer_(model_->parameters(), TrainConfig{}),
        batch_(random_batch(config, num_sequences, length, 1)) {
    options_.training = true;
    options_.generator = make_generator(tensors.device(), 1);
    options_.dtype = c10::typeMetaToScalarType(tensors.dtype());
  }

  void operator()() {
    benchmark::DoNotOptimize(accumulate_gradients(*model_, {&batch_, 1}, options_));
    clip_gradients(model_->parameters(), 1);
    optimizer_.step(0);
    model_->parameters().zero_gradients();
  }

 private:
  std::unique_ptr<Model> model_;
  AdamW optimizer_;
  TokenBatch batch_;
  ForwardOptions options_;
};

void BM_TrainingStep(benchmark::State& state, const ModelConfig& config, std::int64_t num_sequences,
                     std::int64_t length, const at::TensorOptions& tensors) {
  TrainingStep step(config, num_sequences, length, tensors);
  run_contest(state, {.ours = [&] { step(); },
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

// Of configs/compare-small.toml: speedup_over_<kind> is the tokens per second as a part of that kind's.
void BM_KindTrainingStep(benchmark::State& state, const std::string& name) {
  const std::string path = std::string(LOOKBACK_SOURCE_DIR) + "/configs/compare-small.toml";
  const ComparePlan plan = parse_compare_plan(read_toml_file(path), path, VocabularyHint{256});
  const auto step_of = [&](const std::string& wanted) {
    const auto found = std::ranges::find(plan.models, wanted, &CompareModel::name);
    require(found != plan.models.end(), "{}: expected a model \"{}\"", path, wanted);
    const RunConfig run = parse_run_config(found->run, path, VocabularyHint{256});
    return TrainingStep(run.model, run.batch_size, run.context_length, at::kFloat);
  };
  TrainingStep ours = step_of(name);
  TrainingStep window = step_of("sliding-window");
  TrainingStep drt = step_of("drt");
  run_contest(state,
              {.ours = [&] { ours(); }, .rivals = {{"sliding_window", [&] { window(); }}, {"drt", [&] { drt(); }}}});
}
BENCHMARK_CAPTURE(BM_KindTrainingStep, landmark, "landmark")
    ->Iterations(3)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_KindTrainingStep, rpt, "rpt")->Iterations(3)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_KindTrainingStep, memorizing, "memorizing")
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
