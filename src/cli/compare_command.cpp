// lookback compare: several models trained on the same tokens and measured on the same text; one table.
#include <fmt/core.h>
#include <sys/utsname.h>
#include <torch/version.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "cli/commands.h"
#include "cli/compare_results.h"
#include "cli/exit_codes.h"
#include "cli/kernel_warning.h"
#include "cli/program_path.h"
#include "cli/training_flags.h"
#include "core/error.h"
#include "core/files.h"
#include "core/interrupt.h"
#include "core/parse_list.h"
#include "core/standard_streams.h"
#include "core/units.h"
#include "data/data_folders.h"
#include "data/token_dataset.h"
#include "eval/compare_run.h"
#include "eval/compare_step.h"
#include "lookback/version.h"
#include "report/compare_report.h"
#include "report/text_table.h"
#include "train/toml.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

struct CompareFlags {
  std::string config, data, valid, out, devices, step;
  int threads = 0;
  bool plan_only = false;
  bool report_only = false;
  bool json = false;
};

void print_plan(const ComparePlan& plan) {
  std::vector<std::vector<std::string>> rows = {{"model", "kind", "parameters", "seeds"}};
  for (const CompareModel& model : plan.models) {
    rows.push_back({model.name, model.kind, group_digits(model.num_parameters), std::to_string(model.seeds.size())});
  }
  print_message("{}\n", text_table(rows, "  "));
}

// The beginning of a prepared text.
std::vector<std::int64_t> prompt_of(const std::string& folder, const std::string& size) {
  const TokenDataset dataset(folder);
  std::vector<std::int64_t> ids(
      static_cast<std::size_t>(std::min(dataset.num_tokens(), parse_size(size, "prompt_tokens"))));
  dataset.read(0, ids);
  return ids;
}

// As the operating system names it; only its kind ("aarch64") where it does not, as on most ARM machines.
std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2) + ", ";
  }
  utsname kernel{};
  return ::uname(&kernel) == 0 ? std::string(kernel.machine) + ", " : "";
}

// What the steps ran on, as far as this call knows: an earlier one may have been given other devices.
std::string machine_text() {
  const unsigned count = std::thread::hardware_concurrency();
  return fmt::format(
      "Lookback {}, LibTorch {}, compiler {}. {}{} thread{} of hardware; each step a process of its own. "
      "The commands of each model's first seed:",
      version, TORCH_VERSION, __VERSION__, processor_name(), count, count == 1 ? "" : "s");
}

void write_reports(const CompareReport& report, const fs::path& out) {
  write_file_atomic(out / "report.md", compare_markdown(report));
  write_file_atomic(out / "report.csv", compare_csv(report));
  write_file_atomic(out / "report.html", compare_report_html(report));
}

// What run_compare starts as a process of its own.
void run_step(const std::string& file) {
  const StopToken stop = catch_interrupts();
  const CompareStep step = parse_compare_step(read_json_file(file), file);
  CompareStepListener listener;
  listener.on_warning = print_warning;
  if (!step.quiet) listener.on_note = print_note;
  print_output("{}\n", dump_line(do_compare_step(step, listener, stop)));
}

void run_compare_command(const CompareFlags& flags) {
  if (!flags.step.empty()) return run_step(flags.step);
  if (flags.config.empty() || flags.data.empty() || flags.out.empty()) {
    throw CLI::RequiredError("--config, --data and --out (or --step)");
  }
  const StopToken stop = catch_interrupts();
  const DataFolders folders = find_data_folders(flags.data);
  const std::string valid = flags.valid.empty() ? folders.valid : find_data_folders(flags.valid).train;
  require(!valid.empty(), "{}: has no validation part: prepare it with --valid-fraction, or give --valid", flags.data);
  const TokenDataset train(folders.train);
  require(TokenDataset(valid).manifest().tokenizer_fingerprint == train.manifest().tokenizer_fingerprint,
          "{}: was prepared with another tokenizer than {}", valid, folders.train);
  const ComparePlan plan =
      parse_compare_plan(read_toml_file(flags.config), flags.config, VocabularyHint{train.manifest().vocab_size});
  if (!flags.json) print_plan(plan);
  if (flags.plan_only) return;

  const CompareSetting setting{
      .out = flags.out,
      .data = folders.train,
      .valid = valid,
      .prompt_ids = prompt_of(valid, plan.prompt_tokens),
      .step_command = {program_path(), "compare", "--step"},
      .threads = flags.threads,
      .devices = flags.devices.empty() ? std::vector<std::string>{} : split_list(flags.devices)};
  CompareListener listener;
  listener.stop = stop;
  listener.begins = [](const std::string& text) { print_message("{}\n", text); };
  const bool stopped = !flags.report_only && !run_compare(plan, setting, listener);
  const std::vector<CompareResult> results = read_compare_results(plan, flags.out);
  CompareReport report = make_compare_report(plan, results);
  report.machine = machine_text();
  const bool any = std::ranges::any_of(report.models, [](const ComparedModel& model) { return model.num_seeds > 0; });
  if (any) {
    write_reports(report, flags.out);
    if (!flags.json) {
      const std::string indent = "  ";
      const std::string needles =
          report.needle_lengths.empty()
              ? ""
              : fmt::format("Needles found, by length\n\n{}\n", text_table(compare_needle_table(report), indent));
      print_output(
          "\nPerplexity by context\n\n{}\nLoss by position in the document\n\n{}\n{}\n{}\n{}Report: {}\n",
          text_table(compare_quality_table(report), indent), text_table(compare_position_table(report), indent),
          text_table(compare_training_table(report), indent), text_table(compare_inference_table(report), indent),
          needles, (fs::path(flags.out) / "report.html").string());
    }
  }
  Json all = Json::array();
  for (const CompareResult& result : results) {
    all.push_back({{"model", result.model},
                   {"seed", result.seed},
                   {"train", result.train},
                   {"perplexity", result.perplexity},
                   {"speed", result.speed},
                   {"finetune", result.finetune},
                   {"needles", result.needles}});
  }
  const Json json = {{"complete", is_complete(plan, results)}, {"plan", to_json(plan)}, {"results", all}};
  write_json_file(fs::path(flags.out) / "report.json", json);
  if (flags.json) print_output("{}\n", dump_line(json));
  if (!stopped) return;
  print_message("Stopped; what is done is kept in {}. The same command goes on from there.\n", flags.out);
  throw CLI::RuntimeError(exit_interrupted);
}

}  // namespace

void add_compare_command(CLI::App& app) {
  const auto flags = std::make_shared<CompareFlags>();
  CLI::App* command = app.add_subcommand(
      "compare", "Train several models on the same tokens, measure them on the same text, one table");
  CLI::Option* config =
      command->add_option("--config", flags->config, "What to compare (TOML): [compare], [model], [train], [[models]]");
  config->type_name("F.toml");
  CLI::Option* data = command->add_option("--data", flags->data, "Prepared data: a folder of `lookback prepare`");
  data->type_name("DIR");
  command->add_option("--valid", flags->valid, "Prepared text to measure on (default: DIR's validation part)")
      ->type_name("DIR");
  CLI::Option* out = command->add_option("--out", flags->out, "Folder of all runs, results and reports");
  out->type_name("OUT");
  command->add_option("--threads", flags->threads, "CPU threads of evaluation (default: one a core)")
      ->check(CLI::PositiveNumber);
  command->add_option("--devices", flags->devices,
                      "Devices with commas, such as cuda:0,cuda:1 or cpu,cpu: a run at a time on each");
  command->add_flag("--plan", flags->plan_only, "Only say which models these are, with their numbers of parameters");
  command->add_flag("--report", flags->report_only, "Only write the reports of what is done, also while it runs");
  command->add_flag("--json", flags->json, "One line of JSON at the end: what OUT/report.json holds");
  command
      ->add_option("--step", flags->step,
                   "By itself: do this one step again, of OUT/steps/; what comes out is printed as JSON")
      ->type_name("F.json")
      ->excludes(config, data, out);
  command->footer(
      "Examples:\n"
      "  lookback compare --config configs/compare-small.toml --data prepared --out compare\n"
      "  lookback compare --config configs/compare-small.toml --data prepared --out compare --plan\n"
      "  lookback compare --config configs/compare-small.toml --data prepared --out compare --report\n"
      "  lookback compare --step OUT/steps/drt-seed0.perplexity.json\n"
      "OUT gets report.html, report.md, report.csv and report.json; each model's run folder is OUT/runs/NAME-seedN.\n"
      "Ctrl-C saves; the same command goes on where it stopped. docs/comparison.md says what is measured.");
  command->callback([flags] { run_compare_command(*flags); });
}

}  // namespace lookback
