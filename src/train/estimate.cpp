#include "train/estimate.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <numeric>
#include <string>
#include <utility>

#include "core/clock.h"
#include "core/random.h"
#include "models/cost.h"
#include "models/device.h"
#include "models/model.h"
#include "train/batch_loss.h"
#include "train/clipping.h"
#include "train/generator.h"
#include "train/machine_peak.h"
#include "train/memory_meter.h"
#include "train/optimizer.h"

namespace lookback {
namespace {

constexpr double assumed_utilisation = 0.25;  // of the composed operators, where nothing was measured
constexpr double longest_trial_seconds = 60;
constexpr double shortest_measure_seconds = 5;

double free_memory_bytes() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  std::string unit;
  double kibibytes = 0;
  while (file >> key >> kibibytes && std::getline(file, unit)) {
    if (key == "MemAvailable:") return kibibytes * 1024;
  }
  return 0;
}

// Activations of one batch by formula, with or without gradient checkpointing.
double activation_bytes_by_formula(const RunConfig& config, bool checkpointing) {
  const double tokens = static_cast<double>(config.batch_size) * static_cast<double>(config.context_length);
  return tokens * activation_elements_per_token(config.model, checkpointing) *
         static_cast<double>(c10::elementSize(config.train.dtype));
}

TokenBatch random_batch(const RunConfig& config) {
  const ModelConfig& model = config.model;
  // The landmark is the last id, and no text.
  const auto num_ids = static_cast<std::uint64_t>(std::max<std::int64_t>(1, model.vocab_size - 1));
  Random random(config.train.seed);
  TokenBatch batch;
  batch.num_sequences = config.batch_size;
  batch.length = config.context_length;
  for (std::int64_t i = 0; i < batch.num_sequences * batch.length; ++i) {
    batch.input_ids.push_back(static_cast<std::int64_t>(random.below(num_ids)));
    batch.labels.push_back(static_cast<std::int64_t>(random.below(num_ids)));
  }
  return batch;
}

// Replaces formulas by what real steps take.
void measure(const RunConfig& config, TrainingEstimate& estimate) {
  const std::unique_ptr<Model> model = make_model(config.model, at::kCPU, config.train.seed);
  AdamW optimizer(model->parameters(), config.train);
  ForwardOptions options;
  options.training = true;
  options.generator = make_generator(at::kCPU, config.train.seed);
  options.dtype = config.train.dtype;
  const std::vector<TokenBatch> batches = {random_batch(config)};
  const auto gradient_peak = [&](bool checkpointing) {
    options.gradient_checkpointing = checkpointing;
    model->parameters().zero_gradients();
    const std::int64_t bytes = peak_tensor_bytes([&] { accumulate_gradients(*model, batches, options); });
    // The gradients are made inside and counted on their own.
    return std::max(0.0, static_cast<double>(bytes) - estimate.gradient_bytes);
  };
  estimate.checkpointed_activation_bytes = gradient_peak(true);
  estimate.activation_bytes = gradient_peak(false);

  options.gradient_checkpointing = config.train.gradient_checkpointing;
  std::vector<double> step_seconds;
  while (std::accumulate(step_seconds.begin(), step_seconds.end(), 0.0) < shortest_measure_seconds) {
    const Clock::time_point start = Clock::now();
    model->parameters().zero_gradients();
    for (std::int64_t i = 0; i < config.train.grad_accumulation_steps; ++i) {
      accumulate_gradients(*model, batches, options);
    }
    clip_gradients(model->parameters(), config.train.clip_grad_norm);
    optimizer.step(config.train.lr);
    step_seconds.push_back(seconds_since(start));
  }
  const auto median = step_seconds.begin() + static_cast<std::ptrdiff_t>(step_seconds.size() / 2);
  std::nth_element(step_seconds.begin(), median, step_seconds.end());
  estimate.seconds_per_step = *median;
  // Again, since other work on the machine may have slowed the first measurement.
  estimate.machine_peak_flops =
      std::max(estimate.machine_peak_flops, measure_machine_peak(at::kCPU, config.train.dtype));
  estimate.utilisation =
      estimate.flops_per_token * estimate.tokens_per_step / estimate.seconds_per_step / estimate.machine_peak_flops;
  estimate.measured = true;
}

// Of a run that is all one.
TrainingEstimate estimate_run(const RunConfig& config) {
  const at::Device device = parse_device(config.device);
  TrainingEstimate estimate;
  estimate.num_parameters = count_parameters(config.model);
  const auto parameters = static_cast<double>(estimate.num_parameters);
  estimate.weight_bytes = 4 * parameters;
  estimate.gradient_bytes = 4 * parameters;
  estimate.optimizer_bytes = 8 * parameters;
  estimate.activation_bytes = activation_bytes_by_formula(config, false);
  estimate.checkpointed_activation_bytes = activation_bytes_by_formula(config, true);

  const auto length = static_cast<double>(config.context_length);
  estimate.flops_per_token = training_flops(config.model, config.context_length) / length;
  estimate.tokens_per_step =
      static_cast<double>(config.batch_size) * static_cast<double>(config.train.grad_accumulation_steps) * length;
  estimate.machine_peak_flops = measure_machine_peak(device, config.train.dtype);
  estimate.utilisation = assumed_utilisation;
  estimate.seconds_per_step =
      estimate.flops_per_token * estimate.tokens_per_step / (estimate.machine_peak_flops * estimate.utilisation);
  const double trial_seconds = estimate.seconds_per_step * 4;
  if (device.is_cpu() && trial_seconds < longest_trial_seconds &&
      estimate.total_bytes(false) < free_memory_bytes() / 2) {
    measure(config, estimate);
  }
  estimate.seconds = estimate.seconds_per_step * static_cast<double>(config.train.steps);

  const auto element_bytes = static_cast<std::int64_t>(c10::elementSize(config.train.dtype));
  estimate.memory_bytes_per_token = memory_bytes_per_token(config.model, element_bytes);
  estimate.window_bytes = window_bytes(config.model, element_bytes);
  return estimate;
}

// The stage as a run of its own.
RunConfig run_of_stage(const RunConfig& config, std::size_t stage) {
  RunConfig run = config;
  run.batch_size = config.stages[stage].batch_size;
  run.context_length = config.stages[stage].context_length;
  run.train.steps = config.train.stages[stage].steps;
  run.stages.clear();
  run.train.stages.clear();
  return run;
}

// Of stages together: the memory of the one that takes the most, the time of all, and of the rest the mean over steps,
// tokens or time, whichever it is counted in.
TrainingEstimate sum_of(std::vector<TrainingEstimate> stages, const RunConfig& config) {
  TrainingEstimate sum = stages[0];
  double tokens = 0;
  double flops = 0;
  double peak_seconds = 0;
  sum.seconds = 0;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const TrainingEstimate& stage = stages[i];
    const double stage_tokens = stage.tokens_per_step * static_cast<double>(config.train.stages[i].steps);
    tokens += stage_tokens;
    flops += stage_tokens * stage.flops_per_token;
    sum.seconds += stage.seconds;
    peak_seconds += stage.seconds * stage.utilisation;
    sum.machine_peak_flops = std::max(sum.machine_peak_flops, stage.machine_peak_flops);
    sum.activation_bytes = std::max(sum.activation_bytes, stage.activation_bytes);
    sum.checkpointed_activation_bytes =
        std::max(sum.checkpointed_activation_bytes, stage.checkpointed_activation_bytes);
    sum.measured = sum.measured && stage.measured;
  }
  sum.flops_per_token = flops / tokens;
  sum.tokens_per_step = tokens / static_cast<double>(config.train.steps);
  sum.seconds_per_step = sum.seconds / static_cast<double>(config.train.steps);
  sum.utilisation = peak_seconds / sum.seconds;
  sum.stages = std::move(stages);
  return sum;
}

}  // namespace

TrainingEstimate estimate_training(const RunConfig& config) {
  if (config.stages.empty()) return estimate_run(config);
  std::vector<TrainingEstimate> stages;
  for (std::size_t i = 0; i < config.stages.size(); ++i) stages.push_back(estimate_run(run_of_stage(config, i)));
  return sum_of(std::move(stages), config);
}

Json to_json(const TrainingEstimate& estimate, const RunConfig& config) {
  Json json = {{"num_parameters", estimate.num_parameters},
               {"weight_bytes", estimate.weight_bytes},
               {"gradient_bytes", estimate.gradient_bytes},
               {"optimizer_bytes", estimate.optimizer_bytes},
               {"activation_bytes", estimate.activation_bytes},
               {"checkpointed_activation_bytes", estimate.checkpointed_activation_bytes},
               {"total_bytes", estimate.total_bytes(config.train.gradient_checkpointing)},
               {"flops_per_token", estimate.flops_per_token},
               {"machine_peak_flops", estimate.machine_peak_flops},
               {"utilisation", estimate.utilisation},
               {"measured", estimate.measured},
               {"steps", config.train.steps},
               {"tokens_per_step", estimate.tokens_per_step},
               {"tokens_per_second", estimate.tokens_per_step / estimate.seconds_per_step},
               {"seconds", estimate.seconds},
               {"memory_bytes_per_token", estimate.memory_bytes_per_token},
               {"window_bytes", estimate.window_bytes}};
  for (std::size_t i = 0; i < estimate.stages.size(); ++i) {
    const TrainingEstimate& stage = estimate.stages[i];
    json["stages"].push_back({{"steps", config.train.stages[i].steps},
                              {"tokens_per_step", stage.tokens_per_step},
                              {"total_bytes", stage.total_bytes(config.train.gradient_checkpointing)},
                              {"measured", stage.measured},
                              {"seconds", stage.seconds}});
  }
  return json;
}

}  // namespace lookback
