#include <fmt/core.h>
#include <unistd.h>

#include <iostream>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/tokenizer_choices_flags.h"
#include "core/progress.h"
#include "core/standard_streams.h"
#include "text/token_streams.h"

namespace lookback {
namespace {

struct TokenizeFlags {
  std::string tokenizer;
  TokenizerChoices choices;
  bool jsonl = false;
  bool quiet = false;
};

using Convert = void (*)(const Tokenizer&, std::istream&, std::ostream&, const OnInputBytes&);

void run(const TokenizeFlags& flags, Convert convert) {
  std::ios::sync_with_stdio(false);
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(flags.tokenizer, flags.choices);
  // Ids that run over a terminal leave no place for a live line.
  ProgressLine progress(flags.quiet || ::isatty(STDOUT_FILENO) == 1);
  // Endless input ends with its output; main() knows why.
  output_stream().exceptions(std::ios::badbit);
  convert(*tokenizer, std::cin, output_stream(), [&](std::uint64_t num_bytes) {
    if (!progress.due()) return;
    const auto done = static_cast<double>(num_bytes);
    progress.show(fmt::format("{} read, {}/s", format_bytes(done), format_bytes(done / progress.elapsed_seconds())));
  });
  progress.finish();
}

CLI::App* add_command(CLI::App& app, const char* name, const char* description, const char* jsonl_help, Convert convert,
                      Convert convert_jsonl) {
  const auto flags = std::make_shared<TokenizeFlags>();
  CLI::App* command = app.add_subcommand(name, description);
  command
      ->add_option("--tokenizer", flags->tokenizer,
                   "bytes, a Hugging Face tokenizer.json, a SentencePiece .model, or a folder that holds one")
      ->type_name("T")
      ->required();
  add_tokenizer_choices(*command, flags->choices);
  command->add_flag("--jsonl", flags->jsonl, jsonl_help);
  command->add_flag("--quiet", flags->quiet, "No progress on standard error");
  command->callback([=] { run(*flags, flags->jsonl ? convert_jsonl : convert); });
  return command;
}

}  // namespace

void add_tokenize_command(CLI::App& app) {
  add_command(app, "tokenize",
              "Text on standard input to token ids on standard output. All of the input is one text, whatever its "
              "lines; its ids are separated by blanks, and detokenize gives back the same bytes",
              "A {\"text\": \"...\"} a line in, an {\"ids\": [...]} a line out", tokenize_text, tokenize_lines)
      ->footer(
          "Examples:\n"
          "  echo 'Hello, world!' | lookback tokenize --tokenizer bytes\n"
          "  lookback tokenize --tokenizer gpt2/tokenizer.json < book.txt | wc -w\n"
          "  zstdcat books.jsonl.zst | lookback tokenize --tokenizer gpt2/tokenizer.json --jsonl > ids.jsonl");
}

void add_detokenize_command(CLI::App& app) {
  add_command(app, "detokenize",
              "Token ids on standard input, separated by white space, to the text that they stand for",
              "An {\"ids\": [...]} a line in, a {\"text\": \"...\"} a line out; bytes that are no UTF-8 become U+FFFD",
              detokenize_text, detokenize_lines)
      ->footer(
          "Examples:\n"
          "  echo '15496 11 995 0' | lookback detokenize --tokenizer gpt2/tokenizer.json\n"
          "  lookback detokenize --tokenizer runs/books --jsonl < ids.jsonl");
}

}  // namespace lookback
