#include "train/training_run.h"

#include <ATen/Parallel.h>
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <vector>

#include "core/error.h"
#include "core/files.h"
#include "core/progress.h"
#include "models/cost.h"
#include "models/device.h"
#include "models/drt/retriever_embeddings.h"
#include "models/model_folder.h"
#include "ops/missing_kernels.h"
#include "train/machine_peak.h"
#include "train/run_folder.h"
#include "train/step_line.h"
#include "train/toml.h"
#include "train/trainer.h"
#include "train/training_threads.h"
#include "train/validation.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

// What a run's weights are before its first step, other than drawn.
void begin_weights(const RunConfig& config, Model& model) {
  if (!config.init.empty()) load_weights(resolve_model_folder(config.init), model);
  if (!config.retriever_embeddings.empty()) load_retriever_embeddings(config.retriever_embeddings, model);
  require(!config.init.empty() || !config.retriever_embeddings.empty() ||
              !model.parameters().contains(retriever_embeddings_name),
          "retriever = \"embeddings\": which? Give retriever_embeddings, a safetensors file");
}

class StepCallback : public TrainRecorder {
 public:
  explicit StepCallback(const std::function<void(const StepMetrics&)>& on_step) : on_step_(on_step) {}
  void record(const StepMetrics& metrics) override { on_step_(metrics); }

 private:
  const std::function<void(const StepMetrics&)>& on_step_;
};

// How the run's time spreads over its steps: as its arithmetic.
std::vector<StageWork> stage_work(const RunConfig& config) {
  if (config.stages.empty()) return {{config.train.steps, 1}};
  std::vector<StageWork> stages;
  for (std::size_t i = 0; i < config.stages.size(); ++i) {
    const StageConfig& stage = config.stages[i];
    stages.push_back({config.train.stages[i].steps,
                      static_cast<double>(stage.batch_size) * training_flops(config.model, stage.context_length)});
  }
  return stages;
}

// What is worth knowing of a run before its first step, a line each.
std::vector<std::string> notes(const RunConfig& config, double machine_peak_flops) {
  std::vector<std::string> lines;
  if (config.train.schedule_steps > 0 && config.train.schedule_steps < config.train.steps) {
    lines.push_back(fmt::format("the learning rate falls over {} steps; from there to step {} it stays at {:g}",
                                config.train.schedule_steps, config.train.steps, config.train.min_lr));
  }
  lines.push_back(fmt::format("{}: {} parameters, {} text tokens, {} threads, matrix-multiply peak {:.0f} GFLOP/s",
                              config.model.kind, format_count(static_cast<double>(count_parameters(config.model))),
                              format_count(static_cast<double>(config.num_tokens)), config.threads,
                              machine_peak_flops / 1e9));
  for (std::size_t i = 0; i < config.stages.size(); ++i) {
    lines.push_back(fmt::format("stage {}: {}", i + 1, describe_stage(config, i)));
  }
  return lines;
}

}  // namespace

Json read_run_before(const RunPlace& place) {
  const bool exists = fs::exists(place.config_path());
  require(!place.resume || exists, "cannot resume: {} is not there; nothing was started in {}", place.config_path(),
          place.out);
  require(place.resume || !exists, "{}: already holds a training run; resume it or choose another folder", place.out);
  require(place.resume || !place.from_step, "from-step {}: is for a run that is resumed", place.from_step.value_or(0));
  if (!place.resume) return Json::object();
  Json before = read_toml_file(place.config_path());
  const std::string made_by = before.contains("finetune") ? "finetune" : "train";
  require(made_by == place.command, "cannot resume: {} holds a run of `lookback {}`; go on with that", place.out,
          made_by);
  return before;
}

void settle_data(RunConfig& config, const std::string& tokenizer_fingerprint, std::int64_t num_tokens) {
  require(config.tokenizer_fingerprint.empty() || config.tokenizer_fingerprint == tokenizer_fingerprint,
          "{}: the run's data was prepared with another tokenizer (fingerprint {}, now {})", config.data,
          config.tokenizer_fingerprint, tokenizer_fingerprint);
  require(config.num_tokens == 0 || config.num_tokens == num_tokens, "{}: the run's data had {} tokens, this has {}",
          config.data, config.num_tokens, num_tokens);
  config.tokenizer_fingerprint = tokenizer_fingerprint;
  config.num_tokens = num_tokens;
  if (config.threads == 0) config.threads = training_threads(config);
}

std::optional<fs::path> resumed_checkpoint(const RunPlace& place) {
  if (!place.resume) return std::nullopt;
  if (place.from_step) return checkpoint_path(place.out, *place.from_step);
  fs::path last = fs::path(place.out) / "last";
  if (!fs::is_symlink(last)) return std::nullopt;
  return last;
}

std::string moved_validation(const std::string& valid, const std::string& data_before, const std::string& data_now) {
  if (valid.empty() || data_before.empty()) return valid;
  const fs::path moved = (fs::path(data_now) / fs::path(valid).lexically_relative(data_before)).lexically_normal();
  return fs::exists(moved) ? moved.string() : valid;
}

void check_same_course(const Json& before, const RunConfig& config, const RunPlace& place) {
  if (!place.resume) return;
  const auto changed = altering_differences(before, to_json(config));
  require(changed.empty(),
          "cannot resume {}: these settings differ from the run's and would alter its course: {}; start a new run "
          "instead, which may start from its weights",
          place.out, fmt::join(changed, ", "));
}

TrainResult run_training(const RunPlace& place, const RunConfig& config, TrainingData data, const RunListener& listener,
                         const StopToken& stop) {
  at::set_num_threads(static_cast<int>(config.threads));
  const at::Device device = parse_device(config.device);
  const std::unique_ptr<Model> model = make_model(config.model, device, config.train.seed);
  // A run that has a checkpoint needs the weights that it began with no more.
  if (!resumed_checkpoint(place)) begin_weights(config, *model);

  TrainIo io;
  io.run_folder = place.out;
  io.resume = place.resume;
  io.from_step = place.from_step;
  io.tokenizer = &data.tokenizer;
  io.stop = stop;
  if (!data.validation.empty()) {
    io.validate = [&] { return validate(*model, data.validation, config.train.dtype); };
  }
  fs::create_directories(place.out);
  write_file_atomic(place.config_path(), dump_toml(to_json(config)));
  const std::string slow = missing_kernels(device, config.train.dtype, config.model.head_dim());
  if (listener.on_warning && !slow.empty()) listener.on_warning(slow);
  io.machine_peak_flops = measure_machine_peak(device, config.train.dtype);
  if (listener.on_note) {
    for (const std::string& note : notes(config, io.machine_peak_flops)) listener.on_note(note);
  }
  StepLine line(stage_work(config));
  if (listener.live_line) io.recorders.push_back(&line);
  StepCallback callback(listener.on_step);
  if (listener.on_step) io.recorders.push_back(&callback);
  TrainResult result = train(*model, *data.batches, config.train, io);
  line.finish();
  return result;
}

}  // namespace lookback
