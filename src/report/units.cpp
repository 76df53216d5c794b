#include "report/units.h"

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

std::string percent_text(double fraction) {
  if (std::isnan(fraction)) return "–";
  const double percent = 100 * fraction;
  const double whole = std::round(percent);
  return std::abs(percent - whole) < 1e-9 ? fmt::format("{:.0f}%", whole) : fmt::format("{:.1f}%", percent);
}

}  // namespace lookback
