#include "report/palette.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace lookback {
namespace {

using Rgb = std::array<int, 3>;

constexpr std::array<Rgb, 11> viridis_points{{{68, 1, 84},
                                              {72, 36, 117},
                                              {65, 68, 135},
                                              {53, 95, 141},
                                              {42, 120, 142},
                                              {33, 145, 140},
                                              {34, 168, 132},
                                              {68, 191, 112},
                                              {122, 209, 81},
                                              {189, 223, 38},
                                              {253, 231, 37}}};

int hex_digit(char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; }

// Relative luminance of WCAG 2.1.
double luminance(std::string_view colour) {
  constexpr std::array<double, 3> share{0.2126, 0.7152, 0.0722};
  double sum = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const double value = (16 * hex_digit(colour[1 + 2 * i]) + hex_digit(colour[2 + 2 * i])) / 255.0;
    sum += share[i] * (value <= 0.04045 ? value / 12.92 : std::pow((value + 0.055) / 1.055, 2.4));
  }
  return sum;
}

}  // namespace

std::string viridis(double t) {
  const double position = std::clamp(t, 0.0, 1.0) * (viridis_points.size() - 1);
  const auto low = std::min(static_cast<std::size_t>(position), viridis_points.size() - 2);
  const double fraction = position - static_cast<double>(low);
  Rgb mixed{};
  for (std::size_t i = 0; i < 3; ++i) {
    const double value = (1 - fraction) * viridis_points[low][i] + fraction * viridis_points[low + 1][i];
    mixed[i] = static_cast<int>(std::lround(value));
  }
  return fmt::format("#{:02x}{:02x}{:02x}", mixed[0], mixed[1], mixed[2]);
}

std::string readable_on(std::string_view colour) {
  const double background = luminance(colour);
  const double white_contrast = 1.05 / (background + 0.05);
  const double black_contrast = (background + 0.05) / 0.05;
  return white_contrast >= black_contrast ? "#ffffff" : "#000000";
}

}  // namespace lookback
