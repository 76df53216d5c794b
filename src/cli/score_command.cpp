#include <fmt/core.h>

#include <cmath>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/inference_flags.h"
#include "cli/memory_flags.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/json.h"
#include "core/progress.h"
#include "core/standard_streams.h"
#include "generate/token_ids.h"
#include "lookback/score.h"

namespace lookback {
namespace {

struct ScoreFlags {
  InferenceFlags inference;
  MemoryFlags memory;
  std::string text, ids;
  ScoreConfig config;
  bool per_token = false;
  bool json = false;
  bool quiet = false;
};

// What is scored: sequences of equal length.
struct ScoreInput {
  std::vector<std::int64_t> ids;  // [N, L]
  std::int64_t num_sequences = 0, length = 0;
  std::int64_t num_bytes = 0;  // of text that the scored tokens (all but the first of each) stand for; 0: unknown
};

ScoreInput read_input(const ScoreFlags& flags, const LanguageModel& model) {
  std::vector<std::vector<std::int64_t>> sequences;
  const std::string& path = flags.ids.empty() ? flags.text : flags.ids;
  const std::string source = input_name(path);
  if (!flags.ids.empty()) {
    sequences = parse_token_ids(parse_json(read_file_or_stdin(path), source), source);
  } else {
    require(model.has_tokenizer(), "{}: this model folder has no tokenizer: give token ids with --ids",
            flags.inference.model);
    sequences = {model.encode(read_file_or_stdin(path))};
  }
  require(!sequences.front().empty(), "{}: is empty: there is nothing to score", source);
  ScoreInput input;
  input.num_sequences = std::ssize(sequences);
  input.length = std::ssize(sequences.front());
  for (const auto& ids : sequences) {
    model.check_token_ids(ids, source);
    input.ids.insert(input.ids.end(), ids.begin(), ids.end());
    for (std::size_t i = 1; i < ids.size(); ++i) input.num_bytes += std::ssize(model.token_bytes(ids[i]));
  }
  return input;
}

Json json_of_row(std::span<const float> logprobs) {
  Json list = Json::array();
  for (const float logprob : logprobs) list.push_back(number_or_null(logprob));
  return list;
}

void print_json(const ScoreFlags& flags, const ScoreInput& input, const Memories& memories,
                std::span<const float> logprobs, double seconds) {
  const ScoreSummary summary = summarize_scores(logprobs);
  Json json;
  if (input.num_sequences == 1) {
    json["logprobs"] = json_of_row(logprobs);
  } else {
    json["logprobs"] = Json::array();
    const auto length = static_cast<std::size_t>(input.length);
    for (std::size_t first = 0; first < logprobs.size(); first += length) {
      json["logprobs"].push_back(json_of_row(logprobs.subspan(first, length)));
    }
  }
  json["num_tokens"] = logprobs.size();
  json["num_scored"] = summary.num_scored;
  json["mean_nll"] = number_or_null(summary.mean_nll);
  json["perplexity"] = number_or_null(summary.perplexity);
  json["bits_per_byte"] = number_or_null(bits_per_byte(summary, input.num_bytes));
  json["incremental"] = flags.config.incremental;
  json["tokens_per_second"] = number_or_null(static_cast<double>(logprobs.size()) / seconds);
  if (!memories.search_qualities().empty()) json["search"] = search_json(memories);
  print_output("{}\n", dump_line(json));
}

void print_tokens(const ScoreInput& input, std::span<const float> logprobs, const LanguageModel& model) {
  const bool with_text = model.has_tokenizer();
  print_output("{:>9} {:>7} {:>10}  {}\n", "position", "id", "log-prob", with_text ? "text" : "");
  for (std::size_t i = 0; i < logprobs.size(); ++i) {
    const std::int64_t position = static_cast<std::int64_t>(i) % input.length;
    // A JSON string: control characters and spaces at the ends can be seen, broken UTF-8 does no harm.
    const std::string shown = with_text ? dump_line(Json(model.token_bytes(input.ids[i]))) : "";
    const std::string value = position == 0 ? "-" : fmt::format("{:.4f}", logprobs[i]);
    print_output("{:>9} {:>7} {:>10}  {}\n", position, input.ids[i], value, shown);
  }
}

void print_summary(const ScoreInput& input, std::span<const float> logprobs, double seconds) {
  const ScoreSummary summary = summarize_scores(logprobs);
  print_output("tokens         {} in {} sequence{}, {} scored\n", logprobs.size(), input.num_sequences,
               input.num_sequences == 1 ? "" : "s", summary.num_scored);
  if (summary.num_scored > 0) {
    print_output("mean nll       {:.4f} nats a token\n", summary.mean_nll);
    print_output("perplexity     {:.3f}\n", summary.perplexity);
  }
  const double bits = bits_per_byte(summary, input.num_bytes);
  if (std::isfinite(bits)) print_output("bits per byte  {:.4f}\n", bits);
  print_output("speed          {} tokens/s\n", format_count(static_cast<double>(logprobs.size()) / seconds));
}

void run_score(ScoreFlags& flags) {
  flags.config.stop = catch_interrupts();
  const LanguageModel model = open_model(flags.inference);
  const ScoreInput input = read_input(flags, model);
  const Memories memories(model, flags.memory.files, flags.memory.options);
  ProgressLine progress(flags.quiet);
  const auto total = static_cast<double>(input.length);
  flags.config.on_progress = [&](std::int64_t num_tokens) {
    const auto done = static_cast<double>(num_tokens);
    const double seconds = progress.elapsed_seconds();
    if (progress.due()) {
      progress.show(fmt::format("scoring: {} of {} tokens, {} tokens/s, {} left", format_count(done),
                                format_count(total), format_count(done / seconds), eta_text(done, total, seconds)));
    }
  };
  const TensorView ids = view_rows(input.ids.data(), DataType::int64, {input.num_sequences, input.length});
  const std::vector<float> logprobs = score(model, ids, memories, flags.config);
  const double seconds = progress.elapsed_seconds();
  progress.finish();
  if (flags.json) {
    print_json(flags, input, memories, logprobs, seconds);
    return;
  }
  if (flags.per_token) print_tokens(input, logprobs, model);
  print_summary(input, logprobs, seconds);
  print_output("{}", search_text(memories));
}

}  // namespace

void add_score_command(CLI::App& app) {
  const auto flags = std::make_shared<ScoreFlags>();
  CLI::App* command =
      app.add_subcommand("score", "How probable a model finds each token of a text, given all before it");
  add_inference_flags(*command, flags->inference);
  CLI::Option_group* input = command->add_option_group("Input", "exactly one of");
  input->add_option("--text", flags->text, "A file with the text; - is standard input")->type_name("F");
  input
      ->add_option("--ids", flags->ids,
                   "JSON: a list of token ids, a list of equally long lists (a batch), or {\"ids\": either}; "
                   "- is standard input")
      ->type_name("F.json");
  input->require_option(1);
  add_memory_flags(*command, flags->memory);
  command->add_flag("--incremental", flags->config.incremental,
                    "Token by token through the generation path: slower, same numbers");
  command->add_option("--segment-tokens", flags->config.segment_tokens, "Tokens read in one step of a long text")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_flag("--per-token", flags->per_token, "A line for each token before the summary");
  command->add_flag("--json", flags->json, "One line of JSON: {\"logprobs\": [null, ...], ...}");
  command->add_flag("--quiet", flags->quiet, "No progress on standard error");
  command->footer(
      "Examples:\n"
      "  lookback score --model runs/books --text chapter.txt\n"
      "  lookback score --model runs/books --text chapter.txt --incremental --json\n"
      "  lookback score --model runs/books --text chapter9.txt --memory chapters1to8.memory\n"
      "  lookback score --model tests/fixtures/golden/drt-one-hop --ids ids.json --per-token");
  command->callback([flags] { run_score(*flags); });
}

}  // namespace lookback
