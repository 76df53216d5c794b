#include "report/text_table.h"

#include <algorithm>

#include "core/error.h"

namespace lookback {
namespace {

// Characters of UTF-8 text: all bytes but continuations.
std::size_t num_characters(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

std::string text_table(const std::vector<std::vector<std::string>>& rows, const std::string& indent) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    require(row.size() == widths.size(), "table: a row of {} cells among rows of {}", row.size(), widths.size());
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], num_characters(row[i]));
  }
  std::string text;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::string line = indent;
    std::string rule = indent;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      if (i > 0) line += "  ", rule += "  ";
      line += std::string(widths[i] - num_characters(rows[r][i]), ' ') + rows[r][i];
      rule += std::string(widths[i], '-');
    }
    text += line + '\n';
    if (r == 0) text += rule + '\n';
  }
  return text;
}

}  // namespace lookback
