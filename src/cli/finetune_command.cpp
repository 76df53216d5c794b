// lookback finetune: trains a model further, on needle tasks or on documents with their summaries.
#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "cli/commands.h"
#include "cli/haystack.h"
#include "cli/kernel_warning.h"
#include "cli/training_flags.h"
#include "cli/training_length.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/parse_list.h"
#include "data/needle_batches.h"
#include "data/summary_batches.h"
#include "models/model_folder.h"
#include "train/training_run.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t default_steps = 500;
constexpr double default_lr = 5e-4;
// Answers are learned as well with as without, and the model goes on learning its text (docs/finetuning.md).
constexpr double default_needle_text_weight = 0.5;

struct FinetuneFlags {
  TrainingFlags training;
  std::string model, tasks, lengths, data, valid;
  std::optional<double> text_weight;
  std::optional<std::int64_t> num_needles, num_empty_chunks;
};

std::string absolute(const std::string& path) { return fs::absolute(path).lexically_normal().string(); }

// The sections of config.toml that the flags speak of.
Json given_settings(const FinetuneFlags& flags) {
  Json given = flags.training.run->given();
  if (!flags.model.empty()) given["train"]["init"] = absolute(flags.model);
  if (!flags.tasks.empty()) given["finetune"]["tasks"] = split_list(flags.tasks);
  if (!flags.lengths.empty()) given["finetune"]["lengths"] = parse_sizes(flags.lengths, "--length");
  if (flags.text_weight) given["finetune"]["text_weight"] = *flags.text_weight;
  if (flags.num_needles) given["finetune"]["num_needles"] = *flags.num_needles;
  if (flags.num_empty_chunks) given["finetune"]["num_empty_chunks"] = *flags.num_empty_chunks;
  if (!flags.data.empty()) given["data"]["train"] = absolute(flags.data);
  if (!flags.valid.empty()) given["data"]["valid"] = absolute(flags.valid);
  return given;
}

// Where the tokenizer is found: with the weights that training goes on from.
fs::path model_folder_of(const FinetuneFlags& flags, const Json& settings) {
  if (const auto checkpoint = resumed_checkpoint(flags.training.place)) return *checkpoint;
  return resolve_model_folder(json_field<std::string>(settings["train"], "init", flags.training.place.config_path()));
}

// What a new run does unless flags say otherwise.
Json new_run_settings(const FinetuneFlags& flags) {
  require(!flags.model.empty() && !flags.tasks.empty(),
          "give --model RUN and --task, or --resume to go on with a run in --out");
  const fs::path config_path = resolve_model_folder(flags.model) / "config.json";
  const ModelConfig model = parse_model_config(read_json_file(config_path), config_path.string());
  return {{"model", to_json(model)},
          {"train", {{"steps", default_steps}, {"lr", default_lr}}},
          {"finetune",
           {{"lengths", {training_length(flags.model, model)}},
            {"text_weight", flags.tasks == "summarize" ? 0 : default_needle_text_weight}}}};
}

std::vector<NeedleTask> needle_tasks(const RunConfig& config) {
  std::vector<NeedleTask> tasks;
  for (const std::string& name : config.finetune.tasks) {
    for (const std::int64_t length : config.finetune.lengths) {
      NeedleTask task;
      task.kind = parse_needle_kind(name);
      task.chunk_size = config.model.chunk_size;
      task.length = length;
      task.num_needles = config.finetune.num_needles;
      task.num_empty_chunks = config.finetune.num_empty_chunks;
      tasks.push_back(task);
    }
  }
  return tasks;
}

std::vector<TokenBatch> take_batches(BatchSource& source, std::int64_t num_sequences, std::int64_t batch_size) {
  std::vector<TokenBatch> batches;
  for (std::int64_t i = 0; i < num_sequences; i += batch_size) batches.push_back(source.next());
  return batches;
}

TrainingData needle_data(RunConfig& config, const Tokenizer& tokenizer) {
  require(config.valid.empty(), "--valid {}: is for --task summarize; needles are validated on samples of their own",
          config.valid);
  // Other sentences than those that `eval needle` generates from the same seed.
  const std::vector<std::int64_t> haystack =
      read_haystack(config.data, generated_haystack_bytes, ~config.train.seed, tokenizer);
  settle_data(config, tokenizer.fingerprint(), static_cast<std::int64_t>(haystack.size()));
  NeedleBatchesConfig batches{needle_tasks(config), config.batch_size, config.finetune.text_weight, config.train.seed};
  TrainingData data{make_needle_batches(batches, haystack, tokenizer), {}, tokenizer};
  batches.held_out = true;
  batches.text_loss_weight = 0;
  data.validation = take_batches(*make_needle_batches(std::move(batches), haystack, tokenizer),
                                 config.validation_windows, config.batch_size);
  return data;
}

std::int64_t count_tokens(const std::vector<SummaryPair>& pairs, const Tokenizer& tokenizer) {
  std::int64_t count = 0;
  for (const SummaryPair& pair : pairs) {
    count += static_cast<std::int64_t>(tokenizer.encode(pair.document).size() + tokenizer.encode(pair.summary).size());
  }
  return count;
}

TrainingData summary_data(RunConfig& config, const Tokenizer& tokenizer) {
  require(!config.data.empty(), "--task summarize: give its pairs, --data F.jsonl");
  const std::vector<SummaryPair> pairs = read_summary_pairs(config.data);
  settle_data(config, tokenizer.fingerprint(), count_tokens(pairs, tokenizer));
  SummaryBatchesConfig batches{config.finetune.lengths[0], config.batch_size, config.finetune.text_weight,
                               config.train.seed};
  TrainingData data{make_summary_batches(pairs, config.data, tokenizer, batches), {}, tokenizer};
  if (!config.valid.empty()) {
    const std::vector<SummaryPair> valid = read_summary_pairs(config.valid);
    batches.text_loss_weight = 0;
    data.validation =
        take_batches(*make_summary_batches(valid, config.valid, tokenizer, batches),
                     std::min(config.validation_windows, static_cast<std::int64_t>(valid.size())), config.batch_size);
  }
  return data;
}

void run_finetune(const FinetuneFlags& flags) {
  const StopToken stop = catch_interrupts();
  const Json before = read_run_before(flags.training.place);
  Json settings = overlay(flags.training.place.resume ? before : new_run_settings(flags), given_settings(flags));
  if (flags.training.place.resume) {
    keep_schedule(before, settings);
    if (!flags.data.empty() && flags.valid.empty()) {
      Json& data = settings["data"];
      data["valid"] = moved_validation(data.at("valid"), before.at("data").at("train"), data.at("train"));
    }
  }
  const fs::path folder = model_folder_of(flags, settings);
  require(has_tokenizer(folder), "{}: has no tokenizer, with which its training texts would be written",
          folder.string());
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(folder.string());
  RunConfig config =
      parse_run_config(settings, flags.training.place.resume ? flags.training.place.config_path() : "command line",
                       VocabularyHint{tokenizer->vocab_size()});
  config.context_length = std::ranges::max(config.finetune.lengths);
  TrainingData data = config.finetune.summarizes() ? summary_data(config, *tokenizer) : needle_data(config, *tokenizer);
  check_same_course(before, config, flags.training.place);
  RunListener listener;
  listener.on_warning = print_warning;
  if (flags.training.says_what_it_does()) listener.on_note = print_note;
  listener.live_line = flags.training.says_what_it_does();
  report_training(run_training(flags.training.place, config, std::move(data), listener, stop), flags.training);
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
