#include "data/block_texts.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "core/json_lines.h"
#include "data/text_pieces.h"
#include "text/utf8.h"

namespace lookback {
namespace {

using OnText = std::function<void(std::string_view, std::int64_t)>;

// The text of a JSON line, or the reason why there is none.
struct LineText {
  std::string text;
  std::string problem;
};

LineText line_text(std::string_view line, const std::string& field) {
  const std::size_t valid = valid_utf8_prefix(line);
  if (valid != line.size()) return {"", fmt::format("invalid UTF-8 at byte {} of the line", valid + 1)};
  auto [value, problem] = try_parse_json_line(line);
  if (!problem.empty()) return {"", std::move(problem)};
  if (!value.is_object()) return {"", "no JSON object"};
  const auto found = value.find(field);
  if (found == value.end()) return {"", fmt::format("no field \"{}\"", field)};
  if (!found->is_string()) return {"", fmt::format("field \"{}\" is no string", field)};
  if (found->get_ref<const std::string&>().empty()) return {"", fmt::format("field \"{}\" is empty", field)};
  return {std::move(found->get_ref<std::string&>()), ""};
}

std::string problem_of_length(InputFormat format) {
  if (format == InputFormat::jsonl) return fmt::format("the line is longer than {} MiB", longest_line_bytes >> 20);
  return fmt::format(
      "the tokenizer knows no place to cut in the next {} MiB; split the file, or give it line by line as .jsonl",
      longest_piece_bytes >> 20);
}

std::vector<DocumentProblem> read_lines(const TextBlock& block, std::string_view text, const std::string& field,
                                        const OnText& on_text) {
  std::vector<DocumentProblem> problems;
  for (std::int64_t number = block.first_line; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (is_blank_line(line)) continue;
    const LineText found = line_text(line, field);
    if (found.problem.empty()) {
      on_text(found.text, number);
    } else {
      problems.push_back({number, found.problem});
    }
  }
  return problems;
}

std::vector<DocumentProblem> read_piece(const TextBlock& block, std::string_view text, const OnText& on_text) {
  const std::size_t valid = valid_utf8_prefix(text);
  if (valid != text.size()) {
    const std::string_view before = text.substr(0, valid);
    const std::size_t line_begin = before.rfind('\n') + 1;  // npos + 1 = 0
    return {{block.first_line + std::count(before.begin(), before.end(), '\n'),
             fmt::format("invalid UTF-8 at byte {} of the line", valid - line_begin + 1)}};
  }
  if (text.empty()) {
    return {{1, block.left_out.empty() ? "the file is empty" : "none of the folder's files is text"}};
  }
  on_text(text, block.first_line);
  return {};
}

}  // namespace

std::vector<DocumentProblem> read_block_texts(const TextBlock& block, std::string_view text, const std::string& field,
                                              const OnText& on_text) {
  if (block.too_long) return {{block.first_line, problem_of_length(block.format)}};
  return block.format == InputFormat::text ? read_piece(block, text, on_text) : read_lines(block, text, field, on_text);
}

}  // namespace lookback
