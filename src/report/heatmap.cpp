#include "report/heatmap.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "report/palette.h"
#include "report/svg.h"

namespace lookback {
namespace {

constexpr double top_margin = 58;
constexpr double bottom_margin = 62;
constexpr double right_margin = 84;
constexpr double cell_height = 46;
constexpr double tick_size = 13;
// Mean advance of a character of the tick font, to leave room for the longest tick.
constexpr double character_width = 7.4;

void check(const Heatmap& heatmap) {
  const std::size_t columns = heatmap.x_ticks.size();
  const std::size_t rows = heatmap.y_ticks.size();
  require(columns > 0 && rows > 0, "heatmap \"{}\": no cells to draw", heatmap.title);
  require(heatmap.values.size() == rows, "heatmap \"{}\": {} rows of values for {} row ticks", heatmap.title,
          heatmap.values.size(), rows);
  require(heatmap.cell_texts.empty() || heatmap.cell_texts.size() == rows,
          "heatmap \"{}\": {} rows of cell texts for {} row ticks", heatmap.title, heatmap.cell_texts.size(), rows);
  for (std::size_t row = 0; row < rows; ++row) {
    require(heatmap.values[row].size() == columns, "heatmap \"{}\": row {} has {} values for {} column ticks",
            heatmap.title, row, heatmap.values[row].size(), columns);
    require(heatmap.cell_texts.empty() || heatmap.cell_texts[row].size() == columns,
            "heatmap \"{}\": row {} has a wrong number of cell texts", heatmap.title, row);
  }
}

std::size_t longest(const std::vector<std::string>& texts) {
  std::size_t size = 0;
  for (const std::string& text : texts) size = std::max(size, text.size());
  return size;
}

std::string cell_text(const Heatmap& heatmap, std::size_t row, std::size_t column) {
  if (!heatmap.cell_texts.empty()) return heatmap.cell_texts[row][column];
  const double value = heatmap.values[row][column];
  return std::isnan(value) ? "–" : fmt::format("{:.0f}%", 100 * value);
}

void draw_cells(const Heatmap& heatmap, SvgPoint origin, double cell_width, SvgBuilder& svg) {
  for (std::size_t row = 0; row < heatmap.y_ticks.size(); ++row) {
    for (std::size_t column = 0; column < heatmap.x_ticks.size(); ++column) {
      const double value = heatmap.values[row][column];
      const SvgPoint corner{origin.x + cell_width * static_cast<double>(column),
                            origin.y + cell_height * static_cast<double>(row)};
      const std::string text = cell_text(heatmap, row, column);
      const std::string hover = fmt::format("{} {}, {} {}: {}", heatmap.x_label, heatmap.x_ticks[column],
                                            heatmap.y_label, heatmap.y_ticks[row], text);
      SvgStyle style{.stroke = colours::paper, .stroke_width = 2, .corner_radius = 4};
      SvgTextStyle label{.anchor = "middle", .size = 14, .bold = true};
      if (std::isnan(value)) {
        style.fill = colours::missing;
        label.colour = colours::muted;
      } else {
        style.fill_value = viridis(value);
        label.colour_value = readable_on(style.fill_value);
      }
      svg.rectangle(corner, cell_width, cell_height, style, hover);
      svg.text({corner.x + cell_width / 2, corner.y + cell_height / 2 + 5}, text, label);
    }
  }
}

void draw_scale(SvgPoint corner, double height, SvgBuilder& svg) {
  constexpr int num_steps = 40;
  const double step = height / num_steps;
  for (int i = 0; i < num_steps; ++i) {
    const double t = 1 - (i + 0.5) / num_steps;
    // Half a unit of overlap hides the seams between steps.
    svg.rectangle({corner.x, corner.y + i * step}, 14, step + (i + 1 < num_steps ? 0.5 : 0),
                  {.fill_value = viridis(t)});
  }
  for (const double t : {0.0, 0.5, 1.0}) {
    svg.text({corner.x + 20, corner.y + (1 - t) * height + 4}, fmt::format("{:.0f}%", 100 * t),
             {.size = 12, .colour = colours::muted});
  }
}

}  // namespace

std::string heatmap_svg(const Heatmap& heatmap) {
  check(heatmap);
  const auto columns = static_cast<double>(heatmap.x_ticks.size());
  const auto rows = static_cast<double>(heatmap.y_ticks.size());
  const double left_margin = 46 + character_width * static_cast<double>(longest(heatmap.y_ticks));
  const double cell_width = std::clamp(
      std::max(720 / columns, character_width * static_cast<double>(longest(heatmap.x_ticks)) + 12), 56.0, 130.0);
  const double width = left_margin + columns * cell_width + right_margin;
  const double height = top_margin + rows * cell_height + bottom_margin;

  SvgBuilder svg(width, height,
                 fmt::format("Heatmap: {}; {} across, {} down", heatmap.title, heatmap.x_label, heatmap.y_label));
  svg.text({16, 30}, heatmap.title, {.size = 16, .bold = true});
  draw_cells(heatmap, {left_margin, top_margin}, cell_width, svg);
  for (std::size_t row = 0; row < heatmap.y_ticks.size(); ++row) {
    svg.text({left_margin - 10, top_margin + cell_height * (static_cast<double>(row) + 0.5) + 4.5},
             heatmap.y_ticks[row], {.anchor = "end", .size = tick_size});
  }
  for (std::size_t column = 0; column < heatmap.x_ticks.size(); ++column) {
    svg.text({left_margin + cell_width * (static_cast<double>(column) + 0.5), top_margin + rows * cell_height + 20},
             heatmap.x_ticks[column], {.anchor = "middle", .size = tick_size});
  }
  svg.text({left_margin + columns * cell_width / 2, height - 14}, heatmap.x_label,
           {.anchor = "middle", .colour = colours::muted});
  svg.text({22, top_margin + rows * cell_height / 2}, heatmap.y_label,
           {.anchor = "middle", .colour = colours::muted, .rotation_degrees = -90});
  draw_scale({width - right_margin + 22, top_margin + 2}, rows * cell_height - 4, svg);
  return svg.finish();
}

}  // namespace lookback
