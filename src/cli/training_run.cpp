#include "cli/training_run.h"

#include <ATen/Parallel.h>
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <cmath>
#include <filesystem>
#include <utility>

#include "cli/exit_codes.h"
#include "cli/program_path.h"
#include "core/error.h"
#include "core/files.h"
#include "core/progress.h"
#include "core/standard_streams.h"
#include "models/device.h"
#include "models/fixed_retriever.h"
#include "models/model_folder.h"
#include "models/parameter_count.h"
#include "ops/cuda_attention.h"
#include "train/machine_peak.h"
#include "train/run_folder.h"
#include "train/toml.h"
#include "train/trainer.h"
#include "train/training_threads.h"
#include "train/validation.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

Json training_summary(const TrainResult& result, const TrainingFlags& flags) {
  Json json = {{"run", flags.out},
               {"steps", result.steps},
               {"interrupted", result.interrupted},
               {"loss", result.loss},
               {"perplexity", std::exp(result.loss)},
               {"best_loss", result.best_loss},
               {"best_step", result.best_step},
               {"tokens", result.tokens},
               {"seconds", result.seconds},
               {"tokens_per_second", result.tokens_per_second},
               {"peak_fraction", result.peak_fraction}};
  if (result.validation_loss) {
    json["validation_loss"] = *result.validation_loss;
    json["validation_perplexity"] = std::exp(*result.validation_loss);
  }
  return json;
}

void report_training(const TrainResult& result, const TrainingFlags& flags) {
  if (flags.json) {
    print_output("{}\n", dump_line(training_summary(result, flags)));
  } else if (!flags.quiet) {
    print_output("step {}: loss {:.4f}, perplexity {:.4g}", result.steps, result.loss, std::exp(result.loss));
    if (result.validation_loss) {
      print_output("; validation loss {:.4f}, perplexity {:.4g}", *result.validation_loss,
                   std::exp(*result.validation_loss));
    }
    print_output("\n{} tokens in all; this time {} ({:.0f} tokens/s, {:.0f}% of the matrix-multiply peak)\n",
                 format_count(static_cast<double>(result.tokens)), format_duration(result.seconds),
                 result.tokens_per_second, 100 * result.peak_fraction);
    if (result.best_step > 0)
      print_output("best: step {} (loss {:.4f}) in {}/best\n", result.best_step, result.best_loss, flags.out);
  }
  if (result.interrupted) {
    print_message("stopped after step {}; go on with:\n  {} {} --out {} --resume\n", result.steps, program_path(),
                  flags.command, flags.out);
  }
}

// What a run's weights are before its first step, other than drawn.
void begin_weights(const RunConfig& config, Model& model) {
  if (!config.init.empty()) load_weights(resolve_model_folder(config.init), model);
  if (!config.retriever_embeddings.empty()) load_retriever_embeddings(config.retriever_embeddings, model);
  require(!config.init.empty() || !config.retriever_embeddings.empty() ||
              !model.parameters().contains(retriever_embeddings_name),
          "retriever = \"embeddings\": which? Give --retriever-embeddings F.safetensors");
}

}  // namespace

void add_training_flags(CLI::App& command, TrainingFlags& flags) {
  command.add_option("--out", flags.out, "Run folder: configuration, metrics, checkpoints")->required();
  command.add_flag("--resume", flags.resume, "Go on with the run in --out, exactly as if it had not stopped");
  command
      .add_option("--from-step", flags.from_step,
                  "With --resume: from the checkpoint of this step instead of the last; later ones are set aside")
      ->check(CLI::NonNegativeNumber)
      ->type_name("N");
  command.add_flag("--json", flags.json, "No live line; the last line on standard output is a JSON summary");
  command.add_flag("--quiet", flags.quiet, "No live line, no summary");
}

Json read_run_before(const TrainingFlags& flags) {
  const bool exists = fs::exists(flags.config_path());
  require(!flags.resume || exists, "--resume: {} is not there; nothing was started in {}", flags.config_path(),
          flags.out);
  require(flags.resume || !exists,
          "{}: already holds a training run; go on with it (--resume) or choose another folder", flags.out);
  require(flags.resume || flags.from_step < 0, "--from-step {}: is for --resume", flags.from_step);
  if (!flags.resume) return Json::object();
  Json before = read_toml_file(flags.config_path());
  const std::string made_by = before.contains("finetune") ? "finetune" : "train";
  require(made_by == flags.command, "--resume: {} holds a run of `lookback {}`; go on with that", flags.out, made_by);
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

std::optional<fs::path> resumed_checkpoint(const TrainingFlags& flags) {
  if (!flags.resume) return std::nullopt;
  if (flags.from_step >= 0) return checkpoint_path(flags.out, flags.from_step);
  fs::path last = fs::path(flags.out) / "last";
  if (!fs::is_symlink(last)) return std::nullopt;
  return last;
}

std::string moved_validation(const std::string& valid, const std::string& data_before, const std::string& data_now) {
  if (valid.empty() || data_before.empty()) return valid;
  const fs::path moved = (fs::path(data_now) / fs::path(valid).lexically_relative(data_before)).lexically_normal();
  return fs::exists(moved) ? moved.string() : valid;
}

void check_same_course(const Json& before, const RunConfig& config, const TrainingFlags& flags) {
  if (!flags.resume) return;
  const auto changed = altering_differences(before, to_json(config));
  require(changed.empty(),
          "--resume: these settings differ from the run's and would alter its course: {}; start a new "
          "run instead ({} {} takes its weights)",
          fmt::join(changed, ", "), flags.command == "train" ? "--init" : "--model", flags.out);
}

void run_training(const TrainingFlags& flags, const RunConfig& config, TrainingData data, const StopToken& stop) {
  at::set_num_threads(static_cast<int>(config.threads));
  const at::Device device = parse_device(config.device);
  const std::unique_ptr<Model> model = make_model(config.model, device, config.train.seed);
  // A run that has a checkpoint needs the weights that it began with no more.
  if (!resumed_checkpoint(flags)) begin_weights(config, *model);

  TrainIo io;
  io.run_folder = flags.out;
  io.resume = flags.resume;
  if (flags.from_step >= 0) io.from_step = flags.from_step;
  io.tokenizer = &data.tokenizer;
  io.quiet = flags.quiet || flags.json;
  io.stop = stop;
  if (!data.validation.empty()) {
    io.validate = [&] { return validate(*model, data.validation, config.train.dtype); };
  }
  fs::create_directories(flags.out);
  write_file_atomic(flags.config_path(), dump_toml(to_json(config)));
  io.machine_peak_flops = measure_machine_peak(device, config.train.dtype);
  if (!io.quiet && config.train.schedule_steps > 0 && config.train.schedule_steps < config.train.steps) {
    print_message("the learning rate falls over {} steps; from there to step {} it stays at {:g}\n",
                  config.train.schedule_steps, config.train.steps, config.train.min_lr);
  }
  if (!io.quiet) {
    print_message("{}: {} parameters, {} text tokens, {} threads, matrix-multiply peak {:.0f} GFLOP/s\n",
                  config.model.kind, format_count(static_cast<double>(count_parameters(config.model))),
                  format_count(static_cast<double>(config.num_tokens)), config.threads, io.machine_peak_flops / 1e9);
    if (device.is_cuda() &&
        !has_cuda_kernel(at::empty({config.model.head_dim()}, at::TensorOptions(device).dtype(config.train.dtype)))) {
      print_message(
          "attention runs without kernels of its own here, slower and with more memory: they take "
          "--dtype bfloat16, heads of a multiple of 8 up to 256, and a build with the CUDA compiler\n");
    }
  }
  const TrainResult result = train(*model, *data.batches, config.train, io);
  report_training(result, flags);
  if (result.interrupted) throw CLI::RuntimeError(exit_interrupted);
}

}  // namespace lookback
