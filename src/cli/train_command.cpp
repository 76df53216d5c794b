// lookback train: a run folder from a configuration and prepared data, or the continuation of one.
#include <memory>

#include "cli/commands.h"
#include "cli/kernel_warning.h"
#include "cli/run_config_flags.h"
#include "cli/training_flags.h"
#include "core/interrupt.h"
#include "lookback/train.h"
#include "train/toml.h"

namespace lookback {
namespace {

void run_train(const TrainingFlags& flags) {
  TrainingRun run;
  run.config = flags.run->config_path;
  run.settings = dump_toml(flags.run->overrides);
  run.out = flags.place.out;
  run.resume = flags.place.resume;
  run.from_step = flags.place.from_step;
  run.stop = catch_interrupts();
  run.on_warning = print_warning;
  if (flags.says_what_it_does()) run.on_note = print_note;
  run.live_line = flags.says_what_it_does();
  report_training(train(run), flags);
}

}  // namespace

void add_train_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("train", "Train a model on prepared text");
  auto flags = std::make_shared<TrainingFlags>();
  flags->place.command = "train";
  flags->run = add_run_config_flags(*command);
  add_training_flags(*command, *flags);
  command->footer(
      "Examples:\n"
      "  lookback train --config configs/small-drt.toml --data prepared --out runs/first\n"
      "  lookback train --config configs/small-drt.toml --data prepared --out runs/short --steps 200 --lr 1e-3 "
      "--threads 2\n"
      "  lookback train --config configs/curriculum-copying.toml --data prepared --out runs/copying\n"
      "  lookback train --out runs/first --resume\n"
      "RUN/ holds config.toml (complete), metrics.jsonl, checkpoints/, and the links last and best. Flags go over the\n"
      "configuration's keys. [[stages]] in it make a curriculum: stages that read random self-copies, texts' copies, "
      "needles\n"
      "or text, one after another (configs/curriculum-copying.toml, docs/curricula.md). Ctrl-C saves a checkpoint and\n"
      "prints how to go on.");
  command->callback([flags] { run_train(*flags); });
}

}  // namespace lookback
