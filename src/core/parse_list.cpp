#include "core/parse_list.h"

#include <charconv>
#include <cmath>

#include "core/error.h"

namespace lookback {
namespace {

constexpr std::int64_t kibi = 1024;
constexpr std::int64_t mebi = 1024 * kibi;
constexpr std::int64_t most = std::int64_t{1} << 40U;

}  // namespace

std::int64_t parse_size(const std::string& text, const std::string& what) {
  std::int64_t value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string unit(rest, text.data() + text.size());
  const std::int64_t factor = unit.empty()                 ? 1
                              : unit == "K" || unit == "k" ? kibi
                              : unit == "M" || unit == "m" ? mebi
                                                           : 0;
  require(error == std::errc() && factor > 0 && value >= 1 && value <= most / factor,
          "{}: found \"{}\", expected a number from 1 on, such as 512, 4K (4096) or 1M", what, text);
  return value * factor;
}

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (true) {
    const std::size_t comma = text.find(',', begin);
    parts.push_back(text.substr(begin, comma - begin));
    if (comma == std::string::npos) return parts;
    begin = comma + 1;
  }
}

std::vector<std::int64_t> parse_sizes(const std::string& text, const std::string& what) {
  std::vector<std::int64_t> sizes;
  for (const std::string& part : split_list(text)) sizes.push_back(parse_size(part, what));
  return sizes;
}

std::vector<double> parse_percents(const std::string& text, const std::string& what) {
  std::vector<double> fractions;
  for (const std::string& part : split_list(text)) {
    double value = 0;
    const auto [rest, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    require(error == std::errc() && rest == part.data() + part.size() && value >= 0 && value <= 100,
            "{}: found \"{}\", expected numbers from 0 to 100 with commas between, such as 0,50,100", what, part);
    fractions.push_back(value / 100);
  }
  return fractions;
}

}  // namespace lookback
