#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/input_rules_flags.h"
#include "cli/left_out_lines.h"
#include "core/counted.h"
#include "core/interrupt.h"
#include "core/json.h"
#include "core/progress.h"
#include "core/standard_streams.h"
#include "data/train_tokenizer.h"

namespace lookback {
namespace {

struct TrainTokenizerFlags {
  TrainTokenizerConfig config;
  InputRulesFlags rules;
  std::vector<std::string> inputs;
  std::string kind = "bpe", out;
  bool json = false, quiet = false;
};

// What is shown while a tokenizer is learned: reading, then learning, whose time is counted from its beginning.
class TrainingLine {
 public:
  TrainingLine(ProgressLine& line, const TrainTokenizerConfig& config) : line_(line), config_(config) {}

  void show(const TrainTokenizerProgress& progress) {
    if (progress.learning && learning_since_ < 0) learning_since_ = line_.elapsed_seconds();
    if (!line_.due()) return;
    if (!progress.learning) {
      const auto done = static_cast<double>(progress.disk_bytes);
      const auto total = static_cast<double>(std::max<std::int64_t>(progress.disk_bytes_total, 1));
      line_.show(fmt::format("read {:.0f}% | {} of text | ETA {}", 100.0 * done / total,
                             format_bytes(static_cast<double>(progress.text_bytes)),
                             eta_text(done, total, line_.elapsed_seconds())));
      return;
    }
    const double seconds = line_.elapsed_seconds() - learning_since_;
    if (config_.kind == TokenizerKind::unigram) {
      line_.show("SentencePiece learns the pieces, and does not say how far it is");
      return;
    }
    line_.show(fmt::format(
        "learn {} of {} tokens | ETA {}", progress.num_tokens, config_.vocab_size,
        eta_text(static_cast<double>(progress.num_tokens), static_cast<double>(config_.vocab_size), seconds)));
  }

 private:
  ProgressLine& line_;
  const TrainTokenizerConfig& config_;
  double learning_since_ = -1.0;
};

Json result_json(const TrainTokenizerFlags& flags, const TrainTokenizerResult& result) {
  return {{"interrupted", result.interrupted},
          {"kind", flags.kind},
          {"file", result.file.string()},
          {"vocab_size", result.vocab_size},
          {"text_bytes", result.text_bytes},
          {"num_inputs", result.num_inputs},
          {"num_unknown_files", result.num_unknown_files},
          {"num_not_read", result.num_not_read},
          {"num_skipped", result.num_skipped}};
}

void print_summary(const TrainTokenizerFlags& flags, const TrainTokenizerResult& result) {
  print_output("{}: {} from {} of text{}\n", result.file.string(), counted(result.vocab_size, "token"),
               format_bytes(static_cast<double>(result.text_bytes)),
               result.vocab_size < flags.config.vocab_size ? "; no further pair is frequent enough" : "");
  if (result.num_unknown_files > 0) {
    print_output("{} in the folders passed over (no text by name)\n", counted(result.num_unknown_files, "file"));
  }
  if (result.num_not_read > 0) {
    print_output("{} in the folders could not be read\n", counted(result.num_not_read, "path"));
  }
  if (result.num_skipped > 0) print_output("{} left out as broken or empty\n", counted(result.num_skipped, "document"));
}

// In a thread of its own: SentencePiece does not ask whether it should stop, and the process then ends without it.
TrainTokenizerResult run_stoppable(const TrainTokenizerConfig& config, const TrainTokenizerListener& listener) {
  std::future<TrainTokenizerResult> learned =
      std::async(std::launch::async, [&] { return train_tokenizer(config, listener); });
  constexpr auto patience = std::chrono::seconds(2);
  while (learned.wait_for(std::chrono::milliseconds(50)) != std::future_status::ready) {
    if (!listener.stop.stop_requested() || learned.wait_for(patience) == std::future_status::ready) continue;
    print_message("Interrupted; nothing was written.\n");
    std::_Exit(exit_interrupted);
  }
  return learned.get();
}

int run(TrainTokenizerFlags& flags) {
  TrainTokenizerConfig& config = flags.config;
  config.inputs.assign(flags.inputs.begin(), flags.inputs.end());
  config.out = flags.out;
  config.rules = read_input_rules(flags.rules);
  config.kind = flags.kind == "bpe" ? TokenizerKind::bpe : TokenizerKind::unigram;
  ProgressLine line(flags.quiet || flags.json);
  LeftOutLines left_out(line, "further ones are only counted");
  TrainingLine shown(line, config);
  TrainTokenizerListener listener;
  listener.stop = catch_interrupts();
  listener.progress = [&](const TrainTokenizerProgress& progress) { shown.show(progress); };
  listener.skipped = [&](const std::string& reason) { left_out.show(reason); };
  const TrainTokenizerResult result = run_stoppable(config, listener);
  line.finish();
  if (flags.json) print_output("{}\n", dump_line(result_json(flags, result)));
  if (result.interrupted) {
    print_message("Interrupted; nothing was written.\n");
    return exit_interrupted;
  }
  if (!flags.json) print_summary(flags, result);
  return 0;
}

void add_train(CLI::App& tokenizer) {
  auto flags = std::make_shared<TrainTokenizerFlags>();
  CLI::App* command = tokenizer.add_subcommand("train", "Learn a tokenizer from texts");
  command
      ->add_option("inputs", flags->inputs,
                   "Files .txt, .md (a document each), .jsonl (a document a line), each also .zst or .gz; folders, "
                   "recursively")
      ->required();
  command->add_option("--vocab-size", flags->config.vocab_size, "Number of tokens, special ones and bytes included")
      ->required();
  command
      ->add_option("--kind", flags->kind,
                   "\"bpe\": byte-level pairs, a tokenizer.json; \"unigram\": SentencePiece's, a tokenizer.model")
      ->check(CLI::IsMember({"bpe", "unigram"}))
      ->capture_default_str();
  command->add_option("--out", flags->out, "Folder to write, new or empty")->required();
  command->add_option("--end-of-text", flags->config.end_of_text, "The token that ends a text")->capture_default_str();
  command
      ->add_option("--min-frequency", flags->config.min_frequency,
                   "How often a pair must occur to become a token of bpe")
      ->capture_default_str();
  command->add_option("--field", flags->config.field, "Field of a JSON line that holds the text")
      ->capture_default_str();
  add_input_rules(*command, flags->rules);
  command->add_flag("--strict", flags->config.strict, "Stop at the first broken document instead of leaving it out");
  command->add_flag("--json", flags->json, "Print the result as one line of JSON");
  command->add_flag("--quiet", flags->quiet, "No progress line");
  command->footer(
      "Examples:\n"
      "  lookback tokenizer train books-train.jsonl.zst --vocab-size 8192 --out data/books-tokenizer\n"
      "  lookback tokenizer train code/ notes.txt --text-extensions py,h --vocab-size 16384 --kind unigram --out "
      "data/code-tokenizer\n"
      "Stopped (Ctrl-C), it leaves nothing.");
  command->callback([flags] {
    const int code = run(*flags);
    if (code != 0) throw CLI::RuntimeError(code);
  });
}

}  // namespace

void add_tokenizer_command(CLI::App& app) {
  CLI::App* tokenizer = app.add_subcommand("tokenizer", "Learn tokenizers");
  tokenizer->require_subcommand(1);
  add_train(*tokenizer);
}

}  // namespace lookback
