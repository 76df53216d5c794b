#include "core/json_lines.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "core/byte_order_mark.h"
#include "core/error.h"

namespace lookback {
namespace {

// The end of the string whose opening quote is at `begin`.
std::size_t end_of_string(std::string_view text, std::size_t begin) {
  for (std::size_t i = begin + 1; i < text.size(); ++i) {
    if (text[i] == '\\')
      ++i;
    else if (text[i] == '"')
      return i + 1;
  }
  return text.size();
}

// `text` with null, and blanks to the same length, for the numbers outside of strings that no double can hold.
std::string without_huge_numbers(std::string text) {
  for (std::size_t begin = 0, end = 0; begin < text.size(); begin = end) {
    end = begin + 1;
    if (text[begin] == '"') {
      end = end_of_string(text, begin);
    } else if (text[begin] == '-' || (text[begin] >= '0' && text[begin] <= '9')) {
      end = std::min(text.find_first_not_of("0123456789+-.eE", begin), text.size());
      const std::string number = text.substr(begin, end - begin);
      if (!std::isinf(std::strtod(number.c_str(), nullptr))) continue;
      text.replace(begin, number.size(), "null" + std::string(number.size() - 4, ' '));
    }
  }
  return text;
}

}  // namespace

bool is_blank_line(std::string_view line) {
  return without_byte_order_mark(line).find_first_not_of(" \t\r\n") == std::string_view::npos;
}

ParsedJson try_parse_json_line(std::string_view line) {
  ParsedJson parsed = try_parse_json(line);
  if (parsed.problem.empty()) return parsed;
  return try_parse_json(without_huge_numbers(std::string(line)));
}

Json parse_json_line(std::string_view line, const std::string& source) {
  ParsedJson parsed = try_parse_json_line(line);
  if (!parsed.problem.empty()) fail("{}: {}", source, parsed.problem);
  return std::move(parsed.value);
}

void visit_json_line(std::string_view line, const std::string& file, std::int64_t number, const VisitJson& visit) {
  if (is_blank_line(line)) return;
  const std::string source = fmt::format("{}, line {}", file, number);
  visit(parse_json_line(line, source), source);
}

void visit_json_lines(std::string_view text, const std::string& file, const VisitJson& visit) {
  for (std::int64_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    visit_json_line(text.substr(0, end), file, number, visit);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

}  // namespace lookback
