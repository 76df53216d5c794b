// lookback eval perplexity: how well a model predicts documents, by context and by position.
#include <fmt/core.h>

#include <cmath>
#include <filesystem>
#include <limits>
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
#include "data/token_dataset.h"
#include "eval/perplexity.h"
#include "generate/inference_model.h"
#include "report/text_table.h"

namespace lookback {
namespace {

constexpr std::int64_t no_limit = std::numeric_limits<std::int64_t>::max();

struct PerplexityFlags {
  InferenceFlags inference;
  std::string data, contexts = "4K", stride, max_tokens, max_document_tokens, csv;
  std::int64_t max_documents = no_limit;
  bool json = false;
  bool quiet = false;
};

// A document's tokens that take part, from its first on: as many as the flags allow.
struct Selection {
  std::vector<std::pair<std::int64_t, std::int64_t>> ranges;  // [begin, end) in the stream
  std::int64_t num_scored = 0;
};

Selection select_documents(const TokenDataset& dataset, const PerplexityFlags& flags) {
  std::int64_t tokens_left = flags.max_tokens.empty() ? no_limit : parse_size(flags.max_tokens, "--max-tokens");
  const std::int64_t most_of_one =
      flags.max_document_tokens.empty() ? no_limit : parse_size(flags.max_document_tokens, "--max-document-tokens");
  Selection selection;
  const std::int64_t num_documents = std::min(dataset.num_documents(), flags.max_documents);
  for (std::int64_t i = 0; i < num_documents && tokens_left > 0; ++i) {
    const DocumentRange document = dataset.document(i);
    const std::int64_t count = std::min({document.end - document.begin, most_of_one, tokens_left});
    tokens_left -= count;
    selection.ranges.emplace_back(document.begin, document.begin + count);
    selection.num_scored += std::max<std::int64_t>(0, count - 1);
  }
  return selection;
}

NextDocument reader(const TokenDataset& dataset, const Selection& selection) {
  return [&dataset, &selection, next = std::size_t{0}](EvaluationDocument& document) mutable {
    if (next == selection.ranges.size()) return false;
    const auto [begin, end] = selection.ranges[next++];
    document.ids.resize(static_cast<std::size_t>(end - begin));
    dataset.read(begin, document.ids);
    return true;
  };
}

std::vector<std::int32_t> token_bytes_of(const Tokenizer& tokenizer) {
  std::vector<std::int32_t> sizes;
  for (std::int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    std::string text;
    tokenizer.decode(id, text);
    sizes.push_back(static_cast<std::int32_t>(text.size()));
  }
  return sizes;
}

std::filesystem::path dataset_folder(const std::filesystem::path& folder) {
  const bool split = !std::filesystem::exists(folder / manifest_name) && std::filesystem::exists(folder / "valid");
  return split ? folder / "valid" : folder;
}

void check_same_tokenizer(const PerplexityFlags& flags, const InferenceModel& opened, const TokenDataset& dataset) {
  if (opened.tokenizer == nullptr) {
    require(dataset.manifest().vocab_size <= opened.model->config().vocab_size,
            "{}: was prepared with {} token ids, but the model {} knows only {}", flags.data,
            dataset.manifest().vocab_size, flags.inference.model, opened.model->config().vocab_size);
    return;
  }
  require(opened.tokenizer->fingerprint() == dataset.manifest().tokenizer_fingerprint,
          "{}: was prepared with another tokenizer (fingerprint {}) than that of the model {} ({}); prepare the text "
          "again with --tokenizer {}",
          flags.data, dataset.manifest().tokenizer_fingerprint, flags.inference.model, opened.tokenizer->fingerprint(),
          flags.inference.model);
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

PerplexityConfig config_of(const PerplexityFlags& flags, const std::string& context) {
  PerplexityConfig config;
  config.context = context == "full" ? 0 : parse_size(context, "--context");
  config.stride =
      flags.stride.empty() ? std::max<std::int64_t>(1, config.context / 2) : parse_size(flags.stride, "--stride");
  require(config.context == 0 || config.stride <= config.context, "--stride {}: is larger than the context {}",
          flags.stride, context);
  return config;
}

void run(const PerplexityFlags& flags) {
  const StopToken stop = catch_interrupts();
  if (!flags.csv.empty()) check_output_file(flags.csv);
  std::vector<PerplexityConfig> configs;
  for (const std::string& context : split_list(flags.contexts)) configs.push_back(config_of(flags, context));
  const std::filesystem::path folder = dataset_folder(flags.data);
  const TokenDataset dataset(folder);
  const Selection selection = select_documents(dataset, flags);
  const LanguageModel model = open_model(flags.inference);
  const InferenceModel& opened = model.opened();
  check_same_tokenizer(flags, opened, dataset);
  const std::vector<std::int32_t> token_bytes =
      token_bytes_of(*load_tokenizer((folder / dataset_tokenizer_name).string()));

  ProgressLine progress(flags.quiet);
  std::vector<PerplexityResult> results;
  for (PerplexityConfig& config : configs) {
    config.dtype = opened.dtype;
    config.token_bytes = token_bytes;
    const double start = progress.elapsed_seconds();
    results.push_back(evaluate_perplexity(
        *opened.model, reader(dataset, selection), config,
        [&](std::int64_t num_scored) {
          const auto done = static_cast<double>(num_scored);
          const double seconds = progress.elapsed_seconds() - start;
          if (progress.due()) {
            progress.show(fmt::format("context {}: {} of {} tokens, {} tokens/s, {} left",
                                      config.context == 0 ? "full" : size_text(config.context), format_count(done),
                                      format_count(static_cast<double>(selection.num_scored)),
                                      format_count(done / seconds),
                                      eta_text(done, static_cast<double>(selection.num_scored), seconds)));
          }
        },
        stop));
    if (!results.back().complete) break;
  }
  progress.finish(stop.stop_requested() ? "Interrupted: what follows covers the documents scored so far" : "");

  if (!flags.csv.empty()) write_file_atomic(flags.csv, perplexity_csv(results));
  if (!flags.json) return print_tables(results);
  Json json = {{"model", flags.inference.model}, {"data", folder.string()}, {"results", Json::array()}};
  for (const PerplexityResult& result : results) json["results"].push_back(to_json(result));
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
  command->add_option("--csv", flags->csv, "Also write loss by position to this file")->type_name("F.csv");
  command->add_flag("--json", flags->json, "One line of JSON");
  command->add_flag("--quiet", flags->quiet, "No progress on standard error");
  command->footer(
      "Examples:\n"
      "  lookback eval perplexity --model runs/books --data data/books --context 4K --stride 2K\n"
      "  lookback eval perplexity --model runs/books --data data/books --context 1K,4K,full --max-tokens 1M --json\n"
      "Every token but a document's first is scored once, at every context. docs/evaluation.md has the definition.");
  command->callback([flags] { run(*flags); });
}

}  // namespace lookback
