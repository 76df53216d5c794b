// lookback eval perplexity: how well a model predicts documents, by context and by position.
#include <fmt/core.h>

#include <cmath>
#include <memory>
#include <string>
#include <utility>
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
#include "eval/dataset_perplexity.h"
#include "report/text_table.h"

namespace lookback {
namespace {

struct PerplexityFlags {
  InferenceFlags inference;
  std::string data, contexts = "4K", stride, max_tokens, max_document_tokens, csv;
  std::int64_t max_documents = no_limit;
  bool repeats = false;
  RepeatConfig repeat_config;
  std::string near_tokens;
  bool json = false;
  bool quiet = false;
};

DocumentLimits limits_of(const PerplexityFlags& flags) {
  DocumentLimits limits;
  limits.max_documents = flags.max_documents;
  if (!flags.max_tokens.empty()) limits.max_tokens = parse_size(flags.max_tokens, "--max-tokens");
  if (!flags.max_document_tokens.empty()) {
    limits.max_document_tokens = parse_size(flags.max_document_tokens, "--max-document-tokens");
  }
  return limits;
}

std::vector<PerplexityConfig> configs_of(const PerplexityFlags& flags) {
  std::vector<PerplexityConfig> configs = parse_contexts(flags.contexts, "--context");
  if (flags.stride.empty()) return configs;
  for (PerplexityConfig& config : configs) {
    config.stride = parse_size(flags.stride, "--stride");
    require(config.context == 0 || config.stride <= config.context, "--stride {}: is larger than the context {}",
            flags.stride, size_text(config.context));
  }
  return configs;
}

std::string context_text(const PerplexityResult& result) {
  return result.context == 0 ? "full" : size_text(result.context);
}

void print_tables(const std::vector<PerplexityResult>& results) {
  std::vector<std::vector<std::string>> summary = {
      {"context", "stride", "perplexity", "bits/byte", "loss", "std. error", "tokens", "documents"}};
  std::size_t num_buckets = 0;
  for (const PerplexityResult& result : results) {
    const auto number = [](double value) { return std::isfinite(value) ? fmt::format("{:.4f}", value) : "-"; };
    summary.push_back({context_text(result), result.context == 0 ? "-" : size_text(result.stride),
                       number(result.perplexity()), number(result.bits_per_byte()), number(result.mean_nll()),
                       number(result.standard_error), group_digits(result.num_tokens),
                       group_digits(result.num_documents)});
    num_buckets = std::max(num_buckets, result.positions.size());
  }
  print_output("{}\nLoss (nats a token) by position in the document\n\n", text_table(summary, "  "));
  std::vector<std::vector<std::string>> rows(1, {"context"});
  for (const PerplexityResult& result : results) rows.push_back({context_text(result)});
  for (std::size_t i = 0; i < num_buckets; ++i) {
    for (std::size_t r = 0; r < results.size(); ++r) {
      const bool present = i < results[r].positions.size() && results[r].positions[i].num_tokens > 0;
      if (i < results[r].positions.size() && rows[0].size() == i + 1) {
        rows[0].push_back("to " + size_text(results[r].positions[i].end));
      }
      rows[r + 1].push_back(present ? fmt::format("{:.4f}", results[r].positions[i].mean_nll()) : "-");
    }
  }
  print_output("{}\n", text_table(rows, "  "));
}

std::string with_interval(double value, const Interval& interval) {
  if (std::isnan(interval.low)) return fmt::format("{:.4f}", value);
  return fmt::format("{:.4f} ({:.4f} to {:.4f})", value, interval.low, interval.high);
}

void print_repeats(const std::vector<PerplexityResult>& results) {
  if (!results.front().repeats) return;
  const RepeatConfig& config = results.front().repeats->config;
  std::vector<std::vector<std::string>> rows = {{"context", "repeats", "tokens", "loss (95% interval)"}};
  for (const PerplexityResult& result : results) {
    const RepeatLosses& repeats = *result.repeats;
    const auto add = [&](const std::string& name, const TokenLosses& losses) {
      rows.push_back({context_text(result), name, group_digits(losses.num_tokens),
                      losses.num_tokens == 0 ? "-" : with_interval(losses.mean_nll(), losses.interval)});
    };
    add("far", repeats.far);
    for (const DistanceLosses& bucket : repeats.far_by_distance) {
      if (bucket.losses.num_tokens == 0) continue;
      add(fmt::format("far, {} to {} back", group_digits(bucket.begin), group_digits(bucket.end - 1)), bucket.losses);
    }
    add("near", repeats.near);
    add("none", repeats.rest);
  }
  print_output(
      "Loss (nats a token) of tokens that repeat, behind the same {} tokens, what stood more than {} tokens back "
      "(far) or nearer (near), and of all others (none)\n\n{}\n",
      config.min_match, group_digits(config.near_tokens), text_table(rows, "  "));
}

void print_recall(const std::vector<PerplexityResult>& results) {
  std::vector<std::vector<std::string>> rows = {{"context", "group", "tokens", "recall@K (95% interval)"}};
  for (const PerplexityResult& result : results) {
    if (!result.repeats) continue;
    for (std::size_t group = 0; group < result.repeats->recall.size(); ++group) {
      const SourceRecall& recall = result.repeats->recall[group];
      if (recall.num_tokens == 0) continue;
      rows.push_back({context_text(result), std::to_string(group), group_digits(recall.num_tokens),
                      with_interval(recall.recall(), recall.interval)});
    }
  }
  if (rows.size() == 1) return;
  print_output("How often the chunk that a far repeat stands in was among those retrieved, by upper group\n\n{}\n",
               text_table(rows, "  "));
}

void run(const PerplexityFlags& flags) {
  const StopToken stop = catch_interrupts();
  if (!flags.csv.empty()) check_output_file(flags.csv);
  std::vector<PerplexityConfig> configs = configs_of(flags);
  const ScoredText text = open_scored_text(flags.data, limits_of(flags));
  const LanguageModel model = open_model(flags.inference);
  if (flags.repeats) {
    RepeatConfig repeats = flags.repeat_config;
    repeats.near_tokens = flags.near_tokens.empty() ? model.opened().model->config().window_size
                                                    : parse_size(flags.near_tokens, "--near");
    for (PerplexityConfig& config : configs) config.repeats = repeats;
  }
  ProgressLine progress(flags.quiet);
  const std::vector<PerplexityResult> results =
      evaluate_perplexity(model.opened(), text, std::move(configs), progress, stop);

  if (!flags.csv.empty()) write_file_atomic(flags.csv, perplexity_csv(results));
  if (!flags.json) {
    print_tables(results);
    print_repeats(results);
    return print_recall(results);
  }
  Json json = to_json(results, flags.inference.model, text);
  const std::string& retrieval = flags.inference.options.retrieval;
  if (retrieval != "trained") json["retrieval"] = retrieval;
  print_output("{}\n", dump_line(json));
}

}  // namespace

void add_eval_perplexity_command(CLI::App& eval) {
  const auto flags = std::make_shared<PerplexityFlags>();
  CLI::App* command = eval.add_subcommand("perplexity", "Perplexity and bits per byte, by context and by position");
  add_inference_flags(*command, flags->inference);
  command->add_option("--data", flags->data, "Folder that `prepare` wrote; its part `valid` when it has one")
      ->required()
      ->type_name("DIR");
  command
      ->add_option("--context", flags->contexts,
                   "Tokens that a prediction may look back, or `full` for all before it in the document; a list "
                   "with commas")
      ->capture_default_str();
  command->add_option("--stride", flags->stride, "Tokens scored in each window (default: half the context)");
  command->add_option("--max-documents", flags->max_documents, "Only the first N documents")
      ->check(CLI::PositiveNumber);
  command->add_option("--max-tokens", flags->max_tokens, "Only the first N tokens, such as 1M");
  command->add_option("--max-document-tokens", flags->max_document_tokens,
                      "Only the first N tokens of each document, such as 64K");
  command
      ->add_option("--retrieval", flags->inference.options.retrieval,
                   "Chunks that the model is fed: trained (those that it chooses), random, latest, bm25 or none, each "
                   "weighed as it weighs them")
      ->capture_default_str();
  CLI::Option* const repeats = command->add_flag(
      "--repeats", flags->repeats,
      "Also the loss of tokens that repeat what stood far back, near, or not at all, by distance, with 95% intervals "
      "over documents");
  command
      ->add_option("--min-match", flags->repeat_config.min_match,
                   "A token repeats when it stood before behind the same N tokens")
      ->needs(repeats)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      ->add_option("--near", flags->near_tokens,
                   "Repeats of what stood at most N tokens back are near ones (default: the model's window; give the "
                   "same number for models that are compared)")
      ->needs(repeats)
      ->type_name("N");
  command->add_option("--csv", flags->csv, "Also write loss by position to this file")->type_name("F.csv");
  command->add_flag("--json", flags->json, "One line of JSON");
  command->add_flag("--quiet", flags->quiet, "No progress on standard error");
  command->footer(
      "Examples:\n"
      "  lookback eval perplexity --model runs/books --data data/books --context 4K --stride 2K\n"
      "  lookback eval perplexity --model runs/books --data data/books --context 1K,4K,full --max-tokens 1M --json\n"
      "  lookback eval perplexity --model runs/code --data data/code --context 16K --repeats --near 256\n"
      "Every token but a document's first is scored once, at every context. docs/evaluation.md has the definition.");
  command->callback([flags] { run(*flags); });
}

}  // namespace lookback
