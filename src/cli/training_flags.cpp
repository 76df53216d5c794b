#include "cli/training_flags.h"

#include <fmt/core.h>

#include <cmath>

#include "cli/exit_codes.h"
#include "cli/program_path.h"
#include "core/json.h"
#include "core/progress.h"
#include "core/standard_streams.h"
#include "train/metrics.h"

namespace lookback {

void add_training_flags(CLI::App& command, TrainingFlags& flags) {
  command.add_option("--out", flags.place.out, "Run folder: configuration, metrics, checkpoints")->required();
  command.add_flag("--resume", flags.place.resume, "Go on with the run in --out, exactly as if it had not stopped");
  command
      .add_option("--from-step", flags.place.from_step,
                  "With --resume: from the checkpoint of this step instead of the last; later ones are set aside")
      ->check(CLI::NonNegativeNumber)
      ->type_name("N");
  command.add_flag("--json", flags.json, "No live line; the last line on standard output is a JSON summary");
  command.add_flag("--quiet", flags.quiet, "No live line, no summary");
}

void print_note(const std::string& line) { print_message("{}\n", line); }

void report_training(const TrainResult& result, const TrainingFlags& flags) {
  if (flags.json) {
    print_output("{}\n", dump_line(to_json(result, flags.place.out)));
  } else if (!flags.quiet) {
    print_output("step {}: loss {:.4f}, perplexity {:.4g}", result.steps, result.loss, std::exp(result.loss));
    if (result.validation_loss) {
      print_output("; validation loss {:.4f}, perplexity {:.4g}", *result.validation_loss,
                   std::exp(*result.validation_loss));
    }
    print_output("\n{} tokens in all; this time {} ({:.0f} tokens/s, {:.0f}% of the matrix-multiply peak)\n",
                 format_count(static_cast<double>(result.tokens)), format_duration(result.seconds),
                 result.tokens_per_second, 100 * result.peak_fraction);
    if (result.best_step > 0) {
      print_output("best: step {} (loss {:.4f}) in {}/best\n", result.best_step, result.best_loss, flags.place.out);
    }
  }
  if (result.interrupted) {
    print_message("stopped after step {}; go on with:\n  {} {} --out {} --resume\n", result.steps, program_path(),
                  flags.place.command, flags.place.out);
    throw CLI::RuntimeError(exit_interrupted);
  }
}

}  // namespace lookback
