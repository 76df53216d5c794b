// Curves with optional error bars: losses over steps, accuracy by length.
#pragma once

#include <limits>
#include <string>
#include <vector>

namespace lookback {

struct ChartPoint {
  double x = 0;
  double y = 0;
  // The interval drawn as an error bar; NaN: none.
  double low = std::numeric_limits<double>::quiet_NaN();
  double high = std::numeric_limits<double>::quiet_NaN();
  std::string hover = {};  // shown by browsers when the pointer rests on the point
};

struct ChartSeries {
  std::string name;
  std::vector<ChartPoint> points = {};  // x rising
  bool markers = true;                  // a mark at each point; off for curves of many points
  bool faint = false;                   // thin and pale: raw values behind a smoothed curve; not in the legend
  std::size_t colour = 0;               // index into the palette's series
};

struct ChartTick {
  double at = 0;
  std::string label = {};
  std::string second_label = {};  // in a second row below
};

// A labelled vertical line, such as the end of a stage.
struct ChartMark {
  double x = 0;
  std::string label = {};
};

struct LineChart {
  std::string title;
  std::string x_label;
  std::string y_label;
  bool log_x = false;
  bool percent_y = false;                                    // values in [0, 1], drawn on a whole axis from 0% to 100%
  bool zoom_y = false;                                       // the axis begins at the least value, not at 0
  double y_limit = std::numeric_limits<double>::infinity();  // values above are drawn at it
  std::vector<ChartTick> x_ticks = {};                       // empty: round numbers
  std::vector<ChartSeries> series = {};
  std::vector<ChartMark> marks = {};
};

// A complete SVG document, also fit to be put into a page. Throws Error when there is no point to draw, when
// a coordinate is not finite, or when x <= 0 on a logarithmic axis.
std::string line_chart_svg(const LineChart& chart);

}  // namespace lookback
