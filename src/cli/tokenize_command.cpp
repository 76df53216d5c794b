// lookback tokenize, lookback detokenize: standard input to standard output, a line at a time.
#include <fmt/ranges.h>

#include <charconv>
#include <iostream>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/json.h"
#include "text/tokenizer.h"

namespace lookback {
namespace {

struct Settings {
  std::string tokenizer = "bytes";
  bool jsonl = false;
};

// Reads a line with its newline, if it has one. Returns false at the end of the input.
bool read_line(std::istream& in, std::string& line) {
  line.clear();
  if (!std::getline(in, line)) return false;
  if (!in.eof()) line += '\n';
  return true;
}

std::string without_newline(const std::string& line) {
  return line.ends_with('\n') ? line.substr(0, line.size() - 1) : line;
}

bool is_blank(const std::string& line) { return line.find_first_not_of(" \t\r\n") == std::string::npos; }

std::vector<std::int32_t> parse_ids(const std::string& line, const std::string& where) {
  std::vector<std::int32_t> ids;
  const char* position = line.data();
  const char* const end = line.data() + line.size();
  while (true) {
    while (position != end && (*position == ' ' || *position == '\n' || *position == '\r' || *position == '\t')) ++position;
    if (position == end) return ids;
    std::int32_t id = 0;
    const auto [rest, error] = std::from_chars(position, end, id);
    require(error == std::errc(), "{}: expected token ids separated by spaces, found \"{}\"", where,
            std::string(position, std::min<std::ptrdiff_t>(end - position, 20)));
    ids.push_back(id);
    position = rest;
  }
}

void tokenize(const Settings& settings) {
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(settings.tokenizer);
  std::string line;
  for (std::int64_t number = 1; !interrupted() && read_line(std::cin, line); ++number) {
    const std::string where = fmt::format("line {} of the input", number);
    if (!settings.jsonl) {
      fmt::print("{}\n", fmt::join(tokenizer->encode(line), " "));
      continue;
    }
    if (is_blank(line)) continue;
    const Json value = parse_json(without_newline(line), where);
    fmt::print("{}\n", dump_line({{"ids", tokenizer->encode(json_field<std::string>(value, "text", where))}}));
  }
}

void detokenize(const Settings& settings) {
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(settings.tokenizer);
  std::string line;
  for (std::int64_t number = 1; !interrupted() && read_line(std::cin, line); ++number) {
    const std::string where = fmt::format("line {} of the input", number);
    if (settings.jsonl && is_blank(line)) continue;
    const auto ids = settings.jsonl ? json_field<std::vector<std::int32_t>>(parse_json(without_newline(line), where), "ids", where)
                                    : parse_ids(line, where);
    std::string text;
    try {
      text = tokenizer->decode(ids);
    } catch (const Error& error) {
      fail("{}: {}", where, error.what());
    }
    if (settings.jsonl) text = dump_line({{"text", text}}) + "\n";
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
}

void add_flags(CLI::App& command, const std::shared_ptr<Settings>& settings) {
  command.add_option("--tokenizer", settings->tokenizer,
                     "\"bytes\", a tokenizer.json, a SentencePiece .model, or a folder that holds one")
      ->capture_default_str();
  command.add_flag("--jsonl", settings->jsonl, "Lines of JSON: {\"text\": ...} on one side, {\"ids\": [...]} on the other");
}

}  // namespace

void add_tokenize_command(CLI::App& app) {
  auto settings = std::make_shared<Settings>();
  CLI::App* const command = app.add_subcommand("tokenize", "Text on standard input to token ids");
  add_flags(*command, settings);
  command->footer(
      "A line of ids for each line of text, its newline included, so that detokenize gives back every byte.\n"
      "Examples:\n"
      "  echo 'Hello, world' | lookback tokenize --tokenizer tokenizer.json\n"
      "  lookback tokenize --jsonl < documents.jsonl > ids.jsonl\n");
  command->callback([settings] {
    catch_interrupts();
    tokenize(*settings);
  });
}

void add_detokenize_command(CLI::App& app) {
  auto settings = std::make_shared<Settings>();
  CLI::App* const command = app.add_subcommand("detokenize", "Token ids on standard input to text");
  add_flags(*command, settings);
  command->footer(
      "Examples:\n"
      "  echo '15496 11 995' | lookback detokenize --tokenizer tokenizer.json\n"
      "  lookback detokenize --jsonl < ids.jsonl > documents.jsonl\n");
  command->callback([settings] {
    catch_interrupts();
    detokenize(*settings);
  });
}

}  // namespace lookback
