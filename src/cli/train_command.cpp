// lookback train: a run folder from a configuration and prepared data, or the continuation of one.
#include <ATen/Parallel.h>
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <cmath>
#include <filesystem>
#include <memory>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/program_path.h"
#include "cli/run_config_flags.h"
#include "core/error.h"
#include "core/files.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "data/corpus_batches.h"
#include "data/token_dataset.h"
#include "models/device.h"
#include "models/model_folder.h"
#include "train/flops.h"
#include "train/machine_peak.h"
#include "train/toml.h"
#include "train/trainer.h"
#include "train/validation.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

struct TrainFlags {
  std::shared_ptr<RunConfigFlags> run;
  std::string out;
  bool resume = false;
  bool json = false;
  bool quiet = false;
};

// A prepared text and its tokenizer.
struct OpenedData {
  std::shared_ptr<const TokenDataset> train;
  std::shared_ptr<const TokenDataset> valid;  // null: none
  std::unique_ptr<Tokenizer> tokenizer;
};

OpenedData open_data(Json& merged) {
  const std::string given = json_field_or<std::string>(merged["data"], "train", "", "[data]");
  require(!given.empty(), "no data: give --data DIR (a folder of `lookback prepare`)");
  const DataFolders folders = find_data_folders(given);
  const std::string valid = json_field_or<std::string>(merged["data"], "valid", "", "[data]");
  OpenedData data;
  data.train = std::make_shared<TokenDataset>(folders.train);
  merged["data"]["train"] = fs::absolute(folders.train).lexically_normal().string();
  const std::string valid_folder = valid.empty() ? folders.valid : find_data_folders(valid).train;
  if (!valid_folder.empty()) {
    data.valid = std::make_shared<TokenDataset>(valid_folder);
    merged["data"]["valid"] = fs::absolute(valid_folder).lexically_normal().string();
    require(data.valid->manifest().tokenizer_fingerprint == data.train->manifest().tokenizer_fingerprint,
            "{}: was prepared with another tokenizer than {}", valid_folder, folders.train);
  }
  data.tokenizer = load_tokenizer((fs::path(folders.train) / "tokenizer").string());
  return data;
}

// The complete configuration; what it expects of the data is checked, what it leaves open is written into it.
RunConfig resolve_config(const Json& merged, const std::string& source, const TokenDataset& dataset) {
  RunConfig config = parse_run_config(merged, source, VocabularyHint{dataset.manifest().vocab_size});
  const std::string& fingerprint = dataset.manifest().tokenizer_fingerprint;
  require(config.tokenizer_fingerprint.empty() || config.tokenizer_fingerprint == fingerprint,
          "{}: the run's data was prepared with another tokenizer (fingerprint {}, now {})", config.data,
          config.tokenizer_fingerprint, fingerprint);
  require(config.num_tokens == 0 || config.num_tokens == dataset.num_tokens(),
          "{}: the run's data had {} tokens, this has {}", config.data, config.num_tokens, dataset.num_tokens());
  config.tokenizer_fingerprint = fingerprint;
  config.num_tokens = dataset.num_tokens();
  if (config.threads == 0) config.threads = at::get_num_threads();
  return config;
}

Json summary(const TrainResult& result, const TrainFlags& flags) {
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

void report(const TrainResult& result, const TrainFlags& flags) {
  if (flags.json) {
    fmt::print("{}\n", dump_line(summary(result, flags)));
  } else if (!flags.quiet) {
    fmt::print("step {}: loss {:.4f}, perplexity {:.4g}", result.steps, result.loss, std::exp(result.loss));
    if (result.validation_loss) {
      fmt::print("; validation loss {:.4f}, perplexity {:.4g}", *result.validation_loss,
                 std::exp(*result.validation_loss));
    }
    fmt::print("\n{} tokens in all; this time {} ({:.0f} tokens/s, {:.0f}% of the matrix-multiply peak)\n",
               format_count(static_cast<double>(result.tokens)), format_duration(result.seconds),
               result.tokens_per_second, 100 * result.peak_fraction);
    if (result.best_step > 0)
      fmt::print("best: step {} (loss {:.4f}) in {}/best\n", result.best_step, result.best_loss, flags.out);
  }
  if (result.interrupted) {
    fmt::print(stderr, "stopped after step {}; go on with:\n  {} train --out {} --resume\n", result.steps,
               program_path(), flags.out);
  }
}

void run_train(const TrainFlags& flags) {
  catch_interrupts();
  const fs::path config_path = fs::path(flags.out) / "config.toml";
  const bool exists = fs::exists(config_path);
  require(!flags.resume || exists, "--resume: {} is not there; nothing was started in {}", config_path.string(),
          flags.out);
  require(flags.resume || !exists,
          "{}: already holds a training run; go on with it (--resume) or choose another folder", flags.out);
  require(flags.resume || !flags.run->config_path.empty(),
          "give --config FILE, or --resume to go on with a run in --out");

  const Json before = flags.resume ? read_toml_file(config_path) : Json::object();
  Json merged = overlay(before, flags.run->given());
  const OpenedData data = open_data(merged);
  const std::string source =
      flags.run->config_path.empty() && flags.resume ? config_path.string() : flags.run->source();
  const RunConfig config = resolve_config(merged, source, *data.train);
  const Json resolved = to_json(config);
  if (flags.resume) {
    const auto changed = altering_differences(before, resolved);
    require(changed.empty(),
            "--resume: these settings differ from the run's and would alter its course: {}; start a new "
            "run instead (--init {} takes its weights)",
            fmt::join(changed, ", "), flags.out);
  }

  at::set_num_threads(static_cast<int>(config.threads));
  const at::Device device = parse_device(config.device);
  const std::unique_ptr<Model> model = make_model(config.model, device, config.train.seed);
  if (!config.init.empty()) load_weights(resolve_model_folder(config.init), *model);
  const auto batches = make_corpus_batches(data.train, config.context_length, config.batch_size, config.train.seed);

  TrainIo io;
  io.run_folder = flags.out;
  io.resume = flags.resume;
  io.tokenizer = data.tokenizer.get();
  io.quiet = flags.quiet || flags.json;
  std::vector<TokenBatch> windows;
  if (data.valid) {
    const TokenStream text{data.valid->num_tokens(),
                           [&](std::int64_t begin, std::span<std::int64_t> out) { data.valid->read(begin, out); }};
    windows = validation_batches(text, config.context_length, config.validation_windows, config.batch_size);
    io.validate = [&] { return validate(*model, windows, config.train.dtype); };
  }
  fs::create_directories(flags.out);
  write_file_atomic(config_path, dump_toml(resolved));
  io.machine_peak_flops = measure_machine_peak(device, config.train.dtype);
  if (!io.quiet) {
    fmt::print(stderr, "{}: {} parameters, {} text tokens, {} threads, matrix-multiply peak {:.0f} GFLOP/s\n",
               config.model.kind, format_count(static_cast<double>(count_parameters(config.model))),
               format_count(static_cast<double>(config.num_tokens)), config.threads, io.machine_peak_flops / 1e9);
  }
  const TrainResult result = train(*model, *batches, config.train, io);
  report(result, flags);
  if (result.interrupted) throw CLI::RuntimeError(exit_interrupted);
}

}  // namespace

void add_train_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("train", "Train a model on prepared text");
  auto flags = std::make_shared<TrainFlags>();
  flags->run = add_run_config_flags(*command);
  command->add_option("--out", flags->out, "Run folder: configuration, metrics, checkpoints")->required();
  command->add_flag("--resume", flags->resume, "Go on with the run in --out, exactly as if it had not stopped");
  command->add_flag("--json", flags->json, "No live line; the last line on standard output is a JSON summary");
  command->add_flag("--quiet", flags->quiet, "No live line, no summary");
  command->footer(
      "Examples:\n"
      "  lookback train --config configs/small-drt.toml --data prepared --out runs/first\n"
      "  lookback train --config configs/small-drt.toml --data prepared --out runs/short --steps 200 --lr 1e-3 "
      "--threads 2\n"
      "  lookback train --out runs/first --resume\n"
      "RUN/ holds config.toml (complete), metrics.jsonl, checkpoints/, and the links last and best. Flags go over the\n"
      "configuration's keys. Ctrl-C saves a checkpoint and prints how to go on.");
  command->callback([flags] { run_train(*flags); });
}

}  // namespace lookback
