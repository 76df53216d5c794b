// lookback finetune: trains a model further, on needle tasks or on documents with their summaries.
#include <memory>
#include <optional>

#include "cli/commands.h"
#include "cli/kernel_warning.h"
#include "cli/training_flags.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/parse_list.h"
#include "train/finetune_run.h"

namespace lookback {
namespace {

struct FinetuneFlags {
  TrainingFlags training;
  std::string model, tasks, lengths, data, valid;
  std::optional<double> text_weight;
  std::optional<std::int64_t> num_needles, num_empty_chunks;
};

// The sections of config.toml that the flags speak of.
Json given_settings(const FinetuneFlags& flags) {
  Json given = flags.training.run->given();
  if (!flags.model.empty()) given["train"]["init"] = flags.model;
  if (!flags.tasks.empty()) given["finetune"]["tasks"] = split_list(flags.tasks);
  if (!flags.lengths.empty()) given["finetune"]["lengths"] = parse_sizes(flags.lengths, "--length");
  if (flags.text_weight) given["finetune"]["text_weight"] = *flags.text_weight;
  if (flags.num_needles) given["finetune"]["num_needles"] = *flags.num_needles;
  if (flags.num_empty_chunks) given["finetune"]["num_empty_chunks"] = *flags.num_empty_chunks;
  if (!flags.data.empty()) given["data"]["train"] = flags.data;
  if (!flags.valid.empty()) given["data"]["valid"] = flags.valid;
  return given;
}

void run_finetune(const FinetuneFlags& flags) {
  const StopToken stop = catch_interrupts();
  const RunPlace& place = flags.training.place;
  require(place.resume || (!flags.model.empty() && !flags.tasks.empty()),
          "give --model RUN and --task, or --resume to go on with a run in --out");
  require(place.resume || flags.tasks != "summarize" || !flags.data.empty(),
          "--task summarize: give its pairs, --data F.jsonl");
  RunListener listener;
  listener.on_warning = print_warning;
  if (flags.training.says_what_it_does()) listener.on_note = print_note;
  listener.live_line = flags.training.says_what_it_does();
  const std::string source = place.resume ? place.config_path() : "command line";
  report_training(finetune(place, given_settings(flags), source, listener, stop), flags.training);
}

}  // namespace

void add_finetune_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("finetune", "Train a model further: needle tasks, summaries");
  auto flags = std::make_shared<FinetuneFlags>();
  command->add_option("--model", flags->model, "Model folder or training run to start from (its best checkpoint)")
      ->type_name("RUN");
  command->add_option("--task", flags->tasks,
                      "single, multi, multi-hop, recipe, or several with commas between, drawn evenly; or summarize");
  command->add_option("--length", flags->lengths,
                      "Tokens of a sample, such as 2K or 1K,4K, drawn evenly (default: as the model was trained)");
  command
      ->add_option("--data", flags->data,
                   "Needles: the haystack, a text or a folder of `prepare` (default: generated sentences); summarize: "
                   "JSON lines {\"document\", \"summary\"}, also .zst or .gz")
      ->type_name("DIR|F");
  command->add_option("--valid", flags->valid, "summarize: pairs to validate on")->type_name("F.jsonl");
  command->add_option("--text-weight", flags->text_weight,
                      "Of the loss on all tokens, beside that on the answers (default: 0.5; of summarize 0)");
  command->add_option("--needles", flags->num_needles, "recipe: needles in the text (default: 6)");
  command->add_option("--gap", flags->num_empty_chunks,
                      "recipe: chunks without needles before the question (default: 0)");
  flags->training.place.command = "finetune";
  flags->training.run = add_train_key_flags(*command);
  add_training_flags(*command, flags->training);
  command->footer(
      "Examples:\n"
      "  lookback finetune --model runs/books --task single,multi-hop --length 1K,4K --data prepared --steps 500 "
      "--out runs/needles\n"
      "  lookback finetune --model runs/books --task summarize --data train.jsonl.zst --valid valid.jsonl --out "
      "runs/summaries\n"
      "  lookback finetune --out runs/needles --resume\n"
      "--out becomes a run folder as that of `train`, which every command takes as --model. Ctrl-C saves a checkpoint "
      "and\n"
      "prints how to go on.");
  command->callback([flags] { run_finetune(*flags); });
}

}  // namespace lookback
