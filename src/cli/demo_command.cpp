// lookback demo: shows in ten minutes, from nothing, what the library is about.
#include <fmt/core.h>

#include <memory>

#include "cli/commands.h"
#include "cli/demo_run.h"
#include "cli/exit_codes.h"
#include "core/available_cores.h"
#include "core/files.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/standard_streams.h"
#include "core/units.h"
#include "report/demo_report.h"
#include "report/demo_report_json.h"
#include "report/text_table.h"

namespace lookback {
namespace {

constexpr int exit_not_learned = 1;

void print_summary(const DemoReport& report, const std::filesystem::path& page) {
  print_output("\nRight answers by length of the context (all five digits, chosen greedily)\n\n{}\n",
               text_table(demo_accuracy_table(report), "  "));
  const DemoLength& longest = report.drt.lengths.back();
  if (demo_learned(report)) {
    print_output("DRT found {} of the needles in {} tokens, {} times its longest training text.\n",
                 percent_text(longest.accuracy()), group_digits(longest.length_tokens),
                 group_digits(longest.length_tokens / report.training_length));
  } else {
    print_output(
        "The DRT did NOT learn in this run: {} right at {} tokens, at least {} was expected. "
        "Another --seed or more --steps may do.\n",
        percent_text(longest.accuracy()), group_digits(longest.length_tokens), percent_text(demo_success_accuracy));
  }
  print_output("Took {} in all, at most {} of memory.\n\nReport: {}\n\n", format_duration(report.total_seconds),
               format_bytes(report.peak_memory_bytes), page.string());
  print_output("Both models are ordinary run folders ({}, {}). To go on:\n", report.drt.folder,
               report.sliding_window.folder);
  print_output("{}\n", report.next_commands);
}

int run(const DemoOptions& options, bool json) {
  const StopToken stop = catch_interrupts();
  print_message("Two models of 0.2M parameters learn from scratch to find needles; a few minutes on two cores.\n");
  const std::optional<DemoReport> report = run_demo(options, stop);
  if (!report) {
    print_message("Interrupted; all that is finished is saved in {}. The same command goes on from here.\n",
                  options.out.string());
    return exit_interrupted;
  }
  const std::filesystem::path page = options.out / "report.html";
  write_file_atomic(page, demo_report_html(*report));
  write_file_atomic(options.out / "accuracy.svg", line_chart_svg(demo_accuracy_chart(*report)));
  const Json results = demo_report_json(*report);
  write_json_file(options.out / "results.json", results);
  if (json) {
    print_output("{}\n", dump_line(results));
  } else {
    print_summary(*report, page);
  }
  return demo_learned(*report) ? 0 : exit_not_learned;
}

}  // namespace

void add_demo_command(CLI::App& app) {
  auto options = std::make_shared<DemoOptions>();
  options->threads = available_cores();
  auto json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("demo",
                                         "Train a small DRT and a sliding-window model from scratch, "
                                         "compare both on long texts, write a report");
  command->add_option("--out", options->out, "Folder of the two runs and of report.html")->capture_default_str();
  command->add_option("--seed", options->seed, "Seed of weights, texts and questions")->capture_default_str();
  command->add_option("--steps", options->steps, "Optimizer steps of each model")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command->add_option("--threads", options->threads, "CPU threads (default: all cores)")->check(CLI::Range(1, 1024));
  command->add_flag("--quick", options->quick, "Stop at contexts 64 times the training length, not 1,024");
  command->add_flag("--json", *json, "One line of JSON at the end: what OUT/results.json holds");
  command->footer(
      "Examples:\n"
      "  lookback demo\n"
      "  lookback demo --quick --out /tmp/demo --threads 2\n"
      "Ctrl-C saves; the same command goes on where it stopped. Exit code 1 when the DRT did not learn (less "
      "than 80%\n"
      "right at the longest context).");
  command->callback([options, json] {
    const int code = run(*options, *json);
    if (code != 0) throw CLI::RuntimeError(code);
  });
}

}  // namespace lookback
