// The colours of pictures and pages. A named colour has a value for light paper, which is written into every
// picture, and one for dark screens, which a page puts in its place through the class of the same name.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace lookback {

struct NamedColour {
  std::string_view name;
  std::string_view light;
  std::string_view dark;
};

namespace colours {
inline constexpr NamedColour paper{"paper", "#ffffff", "#151a22"};
inline constexpr NamedColour ink{"ink", "#18202c", "#e8ecf2"};
inline constexpr NamedColour muted{"muted", "#566072", "#a3aebf"};
inline constexpr NamedColour grid{"grid", "#e2e6ed", "#2b3340"};
inline constexpr NamedColour axis{"axis", "#8b95a5", "#697486"};
// Blue and vermilion of Okabe and Ito (2008), told apart with every kind of colour blindness; then green,
// purple.
inline constexpr NamedColour series_1{"series-1", "#0067a5", "#62b6ee"};
inline constexpr NamedColour series_2{"series-2", "#c8500a", "#f59250"};
inline constexpr NamedColour series_3{"series-3", "#007f5f", "#4fcfa9"};
inline constexpr NamedColour series_4{"series-4", "#9b4f86", "#dd9fcb"};
inline constexpr NamedColour missing{"missing", "#eef0f4", "#242b36"};
inline constexpr std::array all{paper, ink, muted, grid, axis, series_1, series_2, series_3, series_4, missing};
inline constexpr std::array series{series_1, series_2, series_3, series_4};
}  // namespace colours

// The viridis colour map at `t` in [0, 1] as #rrggbb (van der Walt and Smith, 2015; 11 points, linear
// between).
std::string viridis(double t);

// Black or white, whichever is more readable on the colour #rrggbb (contrast as in WCAG 2.1).
std::string readable_on(std::string_view colour);

}  // namespace lookback
