#include <fmt/core.h>

#include <cmath>
#include <cstdio>
#include <memory>
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
#include "generate/generator.h"
#include "generate/score.h"
#include "generate/token_ids.h"

namespace lookback {
namespace {

struct ScoreFlags {
  InferenceFlags inference;
  MemoryFlags memory;
  std::string text, ids;
  ScoreOptions options;
  bool per_token = false;
  bool json = false;
  bool quiet = false;
};

// What is scored: sequences of equal length.
struct ScoreInput {
  std::vector<std::vector<std::int64_t>> sequences;
  at::Tensor ids;              // [N, L]
  std::int64_t num_bytes = 0;  // of text that the scored tokens (all but the first of each) stand for; 0: unknown
};

std::string token_text(const Tokenizer* tokenizer, std::int64_t id) {
  std::string text;
  if (tokenizer != nullptr) decode_any(*tokenizer, id, text);
  return text;
}

ScoreInput read_input(const ScoreFlags& flags, const InferenceModel& opened) {
  const Tokenizer* tokenizer = opened.tokenizer.get();
  ScoreInput input;
  const std::string& path = flags.ids.empty() ? flags.text : flags.ids;
  const std::string source = input_name(path);
  if (!flags.ids.empty()) {
    input.sequences = parse_token_ids(parse_json(read_file_or_stdin(path), source), source);
  } else {
    require(tokenizer != nullptr, "{}: this model folder has no tokenizer: give token ids with --ids",
            flags.inference.model);
    const std::vector<std::int32_t> ids = tokenizer->encode(read_file_or_stdin(path));
    input.sequences = {{ids.begin(), ids.end()}};
  }
  require(!input.sequences.front().empty(), "{}: is empty: there is nothing to score", source);
  std::vector<at::Tensor> rows;
  for (const auto& ids : input.sequences) {
    check_token_ids(ids, opened.model->config(), source);
    rows.push_back(at::tensor(ids, at::kLong));
    if (tokenizer == nullptr) continue;
    for (std::size_t i = 1; i < ids.size(); ++i) {
      input.num_bytes += static_cast<std::int64_t>(token_text(tokenizer, ids[i]).size());
    }
  }
  input.ids = at::stack(rows);
  return input;
}

Json logprobs_of_row(const at::Tensor& row) {
  const auto* values = row.const_data_ptr<float>();
  Json list = Json::array();
  for (std::int64_t i = 0; i < row.numel(); ++i) list.push_back(number_or_null(values[i]));
  return list;
}

void print_json(const ScoreFlags& flags, const ScoreInput& input, const OpenedMemories& memories,
                const at::Tensor& logprobs, double seconds) {
  const ScoreSummary summary = summarize_scores(logprobs);
  Json json;
  if (input.sequences.size() == 1) {
    json["logprobs"] = logprobs_of_row(logprobs[0]);
  } else {
    json["logprobs"] = Json::array();
    for (std::int64_t n = 0; n < logprobs.size(0); ++n) json["logprobs"].push_back(logprobs_of_row(logprobs[n]));
  }
  json["num_tokens"] = logprobs.numel();
  json["num_scored"] = summary.num_scored;
  json["mean_nll"] = number_or_null(summary.mean_nll);
  json["perplexity"] = number_or_null(summary.perplexity);
  json["bits_per_byte"] = number_or_null(bits_per_byte(summary, input.num_bytes));
  json["incremental"] = flags.options.incremental;
  json["tokens_per_second"] = number_or_null(static_cast<double>(logprobs.numel()) / seconds);
  if (!memories.qualities.empty()) json["search"] = search_json(memories);
  print_output("{}\n", dump_line(json));
}

void print_tokens(const ScoreInput& input, const at::Tensor& logprobs, const Tokenizer* tokenizer) {
  print_output("{:>9} {:>7} {:>10}  {}\n", "position", "id", "log-prob", tokenizer == nullptr ? "" : "text");
  for (std::size_t n = 0; n < input.sequences.size(); ++n) {
    const at::Tensor row = logprobs[static_cast<std::int64_t>(n)];
    for (std::size_t i = 0; i < input.sequences[n].size(); ++i) {
      const std::int64_t id = input.sequences[n][i];
      // A JSON string: control characters and spaces at the ends can be seen, broken UTF-8 does no harm.
      const std::string shown = tokenizer == nullptr ? "" : dump_line(Json(token_text(tokenizer, id)));
      const std::string value = i == 0 ? "-" : fmt::format("{:.4f}", row.const_data_ptr<float>()[i]);
      print_output("{:>9} {:>7} {:>10}  {}\n", i, id, value, shown);
    }
  }
}

void print_summary(const ScoreInput& input, const at::Tensor& logprobs, double seconds) {
  const ScoreSummary summary = summarize_scores(logprobs);
  print_output("tokens         {} in {} sequence{}, {} scored\n", logprobs.numel(), logprobs.size(0),
               logprobs.size(0) == 1 ? "" : "s", summary.num_scored);
  if (summary.num_scored > 0) {
    print_output("mean nll       {:.4f} nats a token\n", summary.mean_nll);
    print_output("perplexity     {:.3f}\n", summary.perplexity);
  }
  const double bits = bits_per_byte(summary, input.num_bytes);
  if (std::isfinite(bits)) print_output("bits per byte  {:.4f}\n", bits);
  print_output("speed          {} tokens/s\n", format_count(static_cast<double>(logprobs.numel()) / seconds));
}

void run_score(ScoreFlags& flags) {
  flags.options.stop = catch_interrupts();
  const InferenceModel opened = open_model(flags.inference);
  flags.options.dtype = opened.dtype;
  const ScoreInput input = read_input(flags, opened);
  const OpenedMemories memories = open_memories(flags.memory.paths, flags.memory, opened);
  flags.options.memories = memories.set;
  ProgressLine progress(flags.quiet);
  const auto total = static_cast<double>(input.ids.size(1));
  flags.options.on_progress = [&](std::int64_t num_tokens) {
    const auto done = static_cast<double>(num_tokens);
    const double seconds = progress.elapsed_seconds();
    if (progress.due()) {
      progress.show(fmt::format("scoring: {} of {} tokens, {} tokens/s, {} left", format_count(done),
                                format_count(total), format_count(done / seconds), eta_text(done, total, seconds)));
    }
  };
  const at::Tensor logprobs = score_tokens(*opened.model, input.ids, flags.options);
  const double seconds = progress.elapsed_seconds();
  progress.finish();
  if (flags.json) {
    print_json(flags, input, memories, logprobs, seconds);
    return;
  }
  if (flags.per_token) print_tokens(input, logprobs, opened.tokenizer.get());
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
  command->add_flag("--incremental", flags->options.incremental,
                    "Token by token through the generation path: slower, same numbers");
  command->add_option("--segment-tokens", flags->options.segment_tokens, "Tokens read in one step of a long text")
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
