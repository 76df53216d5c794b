#include "report/line_chart.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/error.h"
#include "report/palette.h"
#include "report/svg.h"

namespace lookback {
namespace {

constexpr double width = 880;
constexpr double height = 400;
constexpr double left = 76;
constexpr double right = 26;
constexpr double top_of_one_row = 84;  // of the plot, below a legend of one row
constexpr double legend_row_height = 22;
constexpr double bottom = 72;

struct Range {
  double low = 0;
  double high = 1;
};

// Where a series stands in the legend.
struct LegendPlace {
  double x = 0;
  int row = 0;
};

bool in_legend(const ChartSeries& series) { return !series.faint && !series.points.empty(); }

// One a series; rows are as long as the chart is wide.
std::vector<LegendPlace> legend_places(const LineChart& chart) {
  std::vector<LegendPlace> places;
  LegendPlace next{left, 0};
  for (const ChartSeries& series : chart.series) {
    const double entry_width = 64 + 7.2 * static_cast<double>(series.name.size());
    if (in_legend(series) && next.x > left && next.x + entry_width > width) next = {left, next.row + 1};
    places.push_back(next);
    if (in_legend(series)) next.x += entry_width;
  }
  return places;
}

struct Axes {
  Range x;
  Range y;
  bool log_x = false;
  double top = top_of_one_row;  // of the plot

  double fraction_x(double value) const {
    return log_x ? std::log(value / x.low) / std::log(x.high / x.low) : (value - x.low) / (x.high - x.low);
  }
  SvgPoint place(double at_x, double at_y) const {
    return {left + fraction_x(at_x) * (width - left - right),
            height - bottom - (at_y - y.low) / (y.high - y.low) * (height - top - bottom)};
  }
};

// 1, 2 or 5 times a power of ten: the least that cuts `span` into at most `max_parts`.
double round_step(double span, double max_parts) {
  const double power = std::pow(10.0, std::floor(std::log10(span / max_parts)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (span / (factor * power) <= max_parts) return factor * power;
  }
  return 10 * power;
}

std::vector<double> round_values(Range range, double max_parts) {
  const double step = round_step(range.high - range.low, max_parts);
  std::vector<double> values;
  const auto last = static_cast<std::int64_t>(std::floor(range.high / step + 1e-9));
  for (auto i = static_cast<std::int64_t>(std::ceil(range.low / step - 1e-9)); i <= last; ++i) {
    values.push_back(static_cast<double>(i) * step);
  }
  return values;
}

void check(const LineChart& chart) {
  std::size_t num_points = 0;
  for (const ChartSeries& series : chart.series) {
    num_points += series.points.size();
    for (const ChartPoint& point : series.points) {
      require(std::isfinite(point.x) && std::isfinite(point.y),
              "chart \"{}\", series \"{}\": not a finite point ({}, {})", chart.title, series.name, point.x, point.y);
      require(!chart.log_x || point.x > 0, "chart \"{}\", series \"{}\": x = {} on a logarithmic axis", chart.title,
              series.name, point.x);
    }
  }
  require(num_points > 0, "chart \"{}\": no points to draw", chart.title);
}

Axes axes_of(const LineChart& chart) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  Range x{infinity, -infinity};
  Range y{infinity, -infinity};
  for (const ChartSeries& series : chart.series) {
    for (const ChartPoint& point : series.points) {
      x = {std::min(x.low, point.x), std::max(x.high, point.x)};
      y = {std::min(y.low, std::isnan(point.low) ? point.y : point.low),
           std::max(y.high, std::isnan(point.high) ? point.y : point.high)};
    }
  }
  if (chart.log_x) {
    const double room = x.high > x.low ? std::pow(x.high / x.low, 0.03) : 2;
    x = {x.low / room, x.high * room};
  } else if (x.high == x.low) {
    x = {x.low - 1, x.high + 1};
  }
  const int extra_rows = legend_places(chart).back().row;
  const double top = top_of_one_row + legend_row_height * extra_rows;
  if (chart.percent_y) return {x, {-0.03, 1.03}, chart.log_x, top};
  y = {chart.zoom_y ? std::min(y.low, chart.y_limit) : std::min(y.low, 0.0), std::min(y.high, chart.y_limit)};
  if (y.high == y.low) y.high = y.low + 1;
  const double step = round_step(y.high - y.low, 6);
  return {x, {std::floor(y.low / step) * step, std::ceil(y.high / step) * step}, chart.log_x, top};
}

void draw_grid(const LineChart& chart, const Axes& axes, SvgBuilder& svg) {
  const double base = height - bottom;
  for (const double value : round_values(chart.percent_y ? Range{0, 1} : axes.y, 6)) {
    const SvgPoint at = axes.place(axes.x.low, value);
    svg.line(at, {width - right, at.y}, {.stroke = value == 0 ? colours::axis : colours::grid});
    svg.text({left - 10, at.y + 4.5},
             chart.percent_y ? fmt::format("{:.0f}%", 100 * value) : fmt::format("{:g}", value),
             {.anchor = "end", .colour = colours::muted});
  }
  std::vector<ChartTick> ticks = chart.x_ticks;
  if (ticks.empty()) {
    for (const double value : round_values(axes.x, 9)) ticks.push_back({value, fmt::format("{:g}", value)});
  }
  for (const ChartTick& tick : ticks) {
    const SvgPoint at = axes.place(tick.at, axes.y.low);
    svg.line({at.x, base}, {at.x, base + 5}, {.stroke = colours::axis});
    svg.text({at.x, base + 20}, tick.label, {.anchor = "middle", .size = 12.5, .colour = colours::muted});
    svg.text({at.x, base + 36}, tick.second_label, {.anchor = "middle", .size = 12.5, .colour = colours::muted});
  }
  svg.line({left, base}, {width - right, base}, {.stroke = colours::axis});
}

// Labels stand one below the other, and before their line where there is no room behind it.
void draw_marks(const LineChart& chart, const Axes& axes, SvgBuilder& svg) {
  double label_y = axes.top + 0.4 * (height - axes.top - bottom);
  for (std::size_t i = 0; i < chart.marks.size(); ++i) {
    const ChartMark& mark = chart.marks[i];
    const SvgPoint at = axes.place(mark.x, axes.y.low);
    svg.line({at.x, axes.top - 4}, {at.x, height - bottom}, {.stroke = colours::axis, .dashes = "2 5"});
    const bool is_last = i + 1 == chart.marks.size();
    const double room_end = is_last ? width : axes.place(chart.marks[i + 1].x, axes.y.low).x;
    const bool before = at.x + 12 + 6.1 * static_cast<double>(mark.label.size()) > room_end;
    svg.text({at.x + (before ? -6 : 6), label_y}, mark.label,
             {.anchor = before ? "end" : "start", .size = 12, .colour = colours::muted, .halo = colours::paper});
    label_y += 17;
  }
}

// Each series has its own shape of mark, so that colour is not the only difference.
void draw_marker(SvgPoint at, std::size_t shape, const NamedColour& colour, std::string_view hover, SvgBuilder& svg) {
  const SvgStyle style{.fill = colour, .stroke = colours::paper, .stroke_width = 1.5};
  constexpr double r = 5.5;
  switch (shape % 4) {
    case 0:
      svg.circle(at, r, style, hover);
      break;
    case 1:
      svg.rectangle({at.x - 5, at.y - 5}, 10, 10, style, hover);
      break;
    case 2: {
      const SvgPoint corners[]{{at.x, at.y - 6.5}, {at.x + 6, at.y + 4.5}, {at.x - 6, at.y + 4.5}};
      svg.polygon(corners, style, hover);
      break;
    }
    default: {
      const SvgPoint corners[]{{at.x, at.y - 7}, {at.x + 6, at.y}, {at.x, at.y + 7}, {at.x - 6, at.y}};
      svg.polygon(corners, style, hover);
    }
  }
}

// Where colours begin anew, marks and dashes are others.
std::size_t shape_of(const ChartSeries& series) { return series.colour + series.colour / colours::series.size(); }

std::string_view dashes_of(const ChartSeries& series) {
  if (!series.markers) return "";
  if (series.colour >= colours::series.size()) return "2 4";
  return series.colour % 2 == 1 ? "7 5" : "";
}

void draw_series(const ChartSeries& series, const Axes& axes, SvgBuilder& svg) {
  const NamedColour& colour = colours::series[series.colour % colours::series.size()];
  std::vector<SvgPoint> curve;
  for (const ChartPoint& point : series.points) curve.push_back(axes.place(point.x, std::min(point.y, axes.y.high)));
  svg.polyline(curve, {.stroke = colour,
                       .stroke_width = series.faint ? 1.0 : 2.25,
                       .opacity = series.faint ? 0.28 : 1.0,
                       .dashes = dashes_of(series)});
  if (!series.markers) return;
  for (const ChartPoint& point : series.points) {
    if (std::isnan(point.low) || std::isnan(point.high)) continue;
    const SvgPoint low = axes.place(point.x, point.low);
    const SvgPoint high = axes.place(point.x, point.high);
    const SvgStyle bar{.stroke = colour, .stroke_width = 1.5, .opacity = 0.65};
    svg.line(low, high, bar);
    svg.line({low.x - 5, low.y}, {low.x + 5, low.y}, bar);
    svg.line({high.x - 5, high.y}, {high.x + 5, high.y}, bar);
  }
  for (std::size_t i = 0; i < curve.size(); ++i) {
    draw_marker(curve[i], shape_of(series), colour, series.points[i].hover, svg);
  }
}

void draw_legend(const LineChart& chart, SvgBuilder& svg) {
  const std::vector<LegendPlace> places = legend_places(chart);
  for (std::size_t i = 0; i < chart.series.size(); ++i) {
    const ChartSeries& series = chart.series[i];
    if (!in_legend(series)) continue;
    const double x = places[i].x;
    const double y = 54 + legend_row_height * places[i].row;
    const NamedColour& colour = colours::series[series.colour % colours::series.size()];
    svg.line({x, y}, {x + 26, y}, {.stroke = colour, .stroke_width = 2.25, .dashes = dashes_of(series)});
    if (series.markers) draw_marker({x + 13, y}, shape_of(series), colour, "", svg);
    svg.text({x + 34, y + 4.5}, series.name, {});
  }
}

}  // namespace

std::string line_chart_svg(const LineChart& chart) {
  check(chart);
  const Axes axes = axes_of(chart);
  SvgBuilder svg(width, height, fmt::format("Chart: {}; {} against {}", chart.title, chart.y_label, chart.x_label));
  svg.text({16, 30}, chart.title, {.size = 16, .bold = true});
  draw_grid(chart, axes, svg);
  for (const ChartSeries& series : chart.series) draw_series(series, axes, svg);
  draw_marks(chart, axes, svg);
  draw_legend(chart, svg);
  svg.text({left + (width - left - right) / 2, height - 12}, chart.x_label,
           {.anchor = "middle", .colour = colours::muted});
  svg.text({20, axes.top + (height - axes.top - bottom) / 2}, chart.y_label,
           {.anchor = "middle", .colour = colours::muted, .rotation_degrees = -90});
  return svg.finish();
}

}  // namespace lookback
