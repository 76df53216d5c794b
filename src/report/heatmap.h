// A table of values in [0, 1] as coloured cells: accuracy by length and depth.
#pragma once

#include <string>
#include <vector>

namespace lookback {

struct Heatmap {
  std::string title;
  std::string x_label;
  std::string y_label;
  std::vector<std::string> x_ticks;                  // one a column
  std::vector<std::string> y_ticks;                  // one a row, the first at the top
  std::vector<std::vector<double>> values;           // [row][column] in [0, 1]; NaN: not measured
  std::vector<std::vector<std::string>> cell_texts;  // [row][column]; empty: the values in percent
};

// A complete SVG document, also fit to be put into a page. Colours are viridis (readable in grey and with
// every kind of colour blindness), the value is written in each cell. Throws Error when there is no cell or
// when ticks, values and texts differ in size.
std::string heatmap_svg(const Heatmap& heatmap);

}  // namespace lookback
