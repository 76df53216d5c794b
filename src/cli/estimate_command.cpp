// lookback estimate: what a training run will take, before it starts.
#include <ATen/Parallel.h>
#include <fmt/core.h>

#include <filesystem>
#include <memory>

#include "cli/commands.h"
#include "cli/run_config_flags.h"
#include "core/progress.h"
#include "core/standard_streams.h"
#include "data/data_folders.h"
#include "text/tokenizer.h"
#include "train/estimate.h"
#include "train/training_threads.h"

namespace lookback {
namespace {

struct EstimateFlags {
  std::shared_ptr<RunConfigFlags> run;
  bool json = false;
};

std::optional<VocabularyHint> vocabulary_of(const Json& given) {
  const std::string folder =
      json_field_or<std::string>(json_field_or(given, "data", Json::object(), "configuration"), "train", "", "[data]");
  if (folder.empty()) return std::nullopt;
  const std::filesystem::path tokenizer = std::filesystem::path(find_data_folders(folder).train) / "tokenizer";
  return VocabularyHint{load_tokenizer(tokenizer.string())->vocab_size()};
}

void print_estimate(const TrainingEstimate& estimate, const RunConfig& config) {
  const auto line = [](const char* name, const std::string& value) { print_output("{:<34}{}\n", name, value); };
  const bool checkpointing = config.train.gradient_checkpointing;
  line("parameters", format_count(static_cast<double>(estimate.num_parameters)));
  line("training memory", format_bytes(estimate.total_bytes(checkpointing)));
  line("  weights", format_bytes(estimate.weight_bytes));
  line("  gradients", format_bytes(estimate.gradient_bytes));
  line("  optimizer", format_bytes(estimate.optimizer_bytes));
  line("  activations", format_bytes(estimate.activation_bytes) + (checkpointing ? "" : "  (this run)"));
  line("  with gradient checkpointing",
       format_bytes(estimate.checkpointed_activation_bytes) + (checkpointing ? "  (this run)" : ""));
  line("training time", fmt::format("{} for {} steps of {} tokens", format_duration(estimate.seconds),
                                    config.train.steps, format_count(estimate.tokens_per_step)));
  for (std::size_t i = 0; i < estimate.stages.size(); ++i) {
    line(fmt::format("  stage {}", i + 1).c_str(),
         fmt::format("{} for {}", format_duration(estimate.stages[i].seconds), describe_stage(config, i)));
  }
  line("  tokens per second", format_count(estimate.tokens_per_step / estimate.seconds_per_step));
  line("  arithmetic per token", format_count(estimate.flops_per_token) + " FLOP");
  line("  matrix-multiply peak", format_count(estimate.machine_peak_flops) + " FLOP/s (measured)");
  line("  fraction of it reached", fmt::format("{:.0f}% ({})", 100 * estimate.utilisation,
                                               estimate.measured ? "measured: real steps on this machine" : "assumed"));
  line("  memory and time are", estimate.measured ? "measured" : "computed, too large to try here within a minute");
  line("inference, bytes per token", format_bytes(estimate.memory_bytes_per_token));
  line("inference, windows", format_bytes(static_cast<double>(estimate.window_bytes)) + ", however long the context");
}

void run_estimate(const EstimateFlags& flags) {
  const Json given = flags.run->given();
  RunConfig config = parse_run_config(given, flags.run->source(), vocabulary_of(given));
  if (config.threads == 0) config.threads = training_threads(config);
  at::set_num_threads(static_cast<int>(config.threads));
  const TrainingEstimate estimate = estimate_training(config);
  if (flags.json) {
    print_output("{}\n", dump_line(to_json(estimate, config)));
  } else {
    print_estimate(estimate, config);
  }
}

}  // namespace

void add_estimate_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("estimate", "What a training run will take: parameters, memory, time");
  auto flags = std::make_shared<EstimateFlags>();
  flags->run = add_run_config_flags(*command);
  command->get_option("--config")->required();
  command->add_flag("--json", flags->json, "One line of JSON on standard output");
  command->footer(
      "Examples:\n"
      "  lookback estimate --config configs/small-drt.toml --data prepared\n"
      "  lookback estimate --config configs/drt-128m.toml --device cpu --json\n"
      "Without --data, [model] must say vocab_size. Small runs are tried for some seconds; large ones are computed.");
  command->callback([flags] { run_estimate(*flags); });
}

}  // namespace lookback
