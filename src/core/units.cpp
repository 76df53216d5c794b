#include "core/units.h"

#include <fmt/core.h>

#include <cmath>
#include <cstddef>

namespace lookback {

std::string group_digits(std::int64_t value) {
  std::string digits = fmt::format("{}", value);
  const std::ptrdiff_t first = value < 0 ? 1 : 0;
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > first; at -= 3) {
    digits.insert(static_cast<std::size_t>(at), 1, ',');
  }
  return digits;
}

std::string size_text(std::int64_t size) {
  constexpr std::int64_t kibi = 1024;
  constexpr std::int64_t mebi = 1024 * kibi;
  if (size != 0 && size % mebi == 0) return fmt::format("{}M", size / mebi);
  if (size != 0 && size % kibi == 0) return fmt::format("{}K", size / kibi);
  return group_digits(size);
}

std::string percent_text(double fraction) {
  if (std::isnan(fraction)) return "–";
  const double percent = 100 * fraction;
  const double whole = std::round(percent);
  return std::abs(percent - whole) < 1e-9 ? fmt::format("{:.0f}%", whole) : fmt::format("{:.1f}%", percent);
}

}  // namespace lookback
