// lookback eval summarize: a model's summaries, or those of any other system, by ROUGE.
#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "cli/eval_command.h"
#include "cli/inference_flags.h"
#include "core/error.h"
#include "core/files.h"
#include "core/interrupt.h"
#include "core/parse_list.h"
#include "core/progress.h"
#include "core/standard_streams.h"
#include "core/units.h"
#include "eval/rouge.h"
#include "eval/summaries.h"
#include "generate/inference_model.h"
#include "report/text_table.h"
#include "train/training_length.h"

namespace lookback {
namespace {

struct SummarizeFlags {
  InferenceFlags inference;
  std::string data, predictions, out, length;
  std::int64_t max_samples = 0;  // 0: all
  std::int64_t max_new_tokens = 128;
  std::int64_t num_beams = 1;
  std::uint64_t seed = 0;
  bool json = false;
  bool quiet = false;
};

template <typename T>
void keep_first(std::vector<T>& values, std::int64_t most) {
  if (most > 0 && static_cast<std::int64_t>(values.size()) > most) values.resize(static_cast<std::size_t>(most));
}

std::vector<SummaryPrediction> summarize_with_model(const SummarizeFlags& flags, const StopToken& stop) {
  if (!flags.out.empty()) check_output_file(flags.out);
  std::vector<SummaryPair> pairs = read_summary_pairs(flags.data, true);
  keep_first(pairs, flags.max_samples);
  const LanguageModel model = open_model(flags.inference);
  const InferenceModel& opened = model.opened();
  require(opened.tokenizer != nullptr, "{}: has no tokenizer, with which documents would be read",
          flags.inference.model);
  const std::int64_t length = flags.length.empty()     ? training_length(flags.inference.model, opened.model->config())
                              : flags.length == "full" ? 0
                                                       : parse_size(flags.length, "--length");
  GenerateConfig config;
  config.sampling.greedy = flags.num_beams == 1;
  config.num_beams = flags.num_beams;
  config.stop.max_new_tokens = flags.max_new_tokens;
  ProgressLine progress(flags.quiet);
  std::vector<SummaryPrediction> predictions = predict_summaries(
      opened, pairs, length, config,
      [&](std::size_t num_done) {
        if (progress.due()) {
          progress.show(fmt::format(
              "summary {} of {}, {} left", num_done, pairs.size(),
              eta_text(static_cast<double>(num_done), static_cast<double>(pairs.size()), progress.elapsed_seconds())));
        }
      },
      stop);
  progress.finish(predictions.size() == pairs.size() ? "" : "Interrupted: what follows covers the summaries so far");
  if (!flags.out.empty()) write_predictions(predictions, flags.out);
  return predictions;
}

void run_summarize(const SummarizeFlags& flags) {
  const StopToken stop = catch_interrupts();
  const bool with_model = flags.predictions.empty();
  require(!with_model || (!flags.inference.model.empty() && !flags.data.empty()),
          "give --model RUN and --data F.jsonl, or --predictions F.jsonl");
  require(with_model || (flags.inference.model.empty() && flags.data.empty() && flags.out.empty()),
          "--predictions has the summaries already: it goes without --model, --data and --out");
  std::vector<SummaryPrediction> predictions =
      with_model ? summarize_with_model(flags, stop) : read_predictions(flags.predictions);
  keep_first(predictions, flags.max_samples);
  std::vector<RougeScores> scores;
  scores.reserve(predictions.size());
  for (const SummaryPrediction& one : predictions) scores.push_back(rouge_scores(one.summary, one.prediction));
  const RougeSummary summary = summarize_rouge(scores, flags.seed);
  if (flags.json) {
    Json json = {{"num_pairs", predictions.size()}, {"seed", flags.seed}};
    if (with_model) json["model"] = flags.inference.model;
    for (std::size_t k = 0; k < rouge_names.size(); ++k) {
      json[rouge_names[k]] = {{"f1", summary.mean[k]},
                              {"bootstrap_95", {summary.interval[k].low, summary.interval[k].high}}};
    }
    print_output("{}\n", dump_line(json));
    return;
  }
  std::vector<std::vector<std::string>> rows = {{"", "F1", "95% interval"}};
  constexpr std::array<const char*, 3> titles{"ROUGE-1", "ROUGE-2", "ROUGE-L"};
  for (std::size_t k = 0; k < titles.size(); ++k) {
    rows.push_back({titles[k], fmt::format("{:.4f}", summary.mean[k]),
                    fmt::format("{:.4f} to {:.4f}", summary.interval[k].low, summary.interval[k].high)});
  }
  print_output("{} summaries\n\n{}", group_digits(static_cast<std::int64_t>(predictions.size())),
               text_table(rows, "  "));
}

}  // namespace

void add_eval_summarize_command(CLI::App& eval) {
  const auto flags = std::make_shared<SummarizeFlags>();
  CLI::App* command = eval.add_subcommand("summarize", "Summaries by ROUGE-1, ROUGE-2 and ROUGE-L (F1, stemmed)");
  add_inference_flags(*command, flags->inference);
  command->get_option("--model")->required(false);
  command->add_option("--data", flags->data, "JSON lines {\"document\", \"summary\"}, also .zst or .gz")
      ->type_name("F.jsonl");
  command
      ->add_option("--predictions", flags->predictions,
                   "Instead of a model: JSON lines {\"summary\", \"prediction\"} of any system, as --out writes them")
      ->type_name("F.jsonl");
  command->add_option("--max-samples", flags->max_samples, "Only the first N (default: all)")
      ->check(CLI::PositiveNumber);
  command->add_option("--max-new-tokens", flags->max_new_tokens, "Most tokens of a summary")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--num-beams", flags->num_beams, "Beam search with so many; 1: greedy")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--length", flags->length,
                      "Tokens of document and summary together, to which documents are cut, or full (default: as the "
                      "model was trained)");
  command->add_option("--seed", flags->seed, "Of the bootstrap")->capture_default_str();
  command->add_option("--out", flags->out, "Write the summaries, too")->type_name("F.jsonl");
  command->add_flag("--json", flags->json, "One line of JSON");
  command->add_flag("--quiet", flags->quiet, "No progress on standard error");
  command->footer(
      "Examples:\n"
      "  lookback eval summarize --model runs/summaries --data test.jsonl.zst --max-samples 200 --out predicted.jsonl\n"
      "  lookback eval summarize --predictions predicted.jsonl --json\n"
      "Ctrl-C ends it and prints what was measured so far.");
  command->callback([flags] { run_summarize(*flags); });
}

}  // namespace lookback
