// Charts, heatmaps and strips: every figure where arithmetic says it is, refused when it cannot be drawn.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <regex>

#include "core/error.h"
#include "core/units.h"
#include "report/context_strip.h"
#include "report/escape.h"
#include "report/heatmap.h"
#include "report/line_chart.h"
#include "report/palette.h"

namespace lookback {
namespace {

using testing::HasSubstr;

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

Heatmap small_heatmap() {
  return {.title = "T",
          .x_label = "length",
          .y_label = "depth",
          .x_ticks = {"a", "b"},
          .y_ticks = {"0", "1"},
          .values = {{0, 1}, {0.5, NAN}},
          .cell_texts = {}};
}

TEST(Heatmap, ColoursCellsByViridis) {
  const std::string svg = heatmap_svg(small_heatmap());
  EXPECT_THAT(svg, HasSubstr("fill=\"#440154\""));  // 0
  EXPECT_THAT(svg, HasSubstr("fill=\"#fde725\""));  // 1
  EXPECT_THAT(svg, HasSubstr("fill=\"#21918c\""));  // 0.5
  EXPECT_THAT(svg, HasSubstr(">50%</text>"));
  EXPECT_THAT(svg, HasSubstr(">–</text>"));
}

TEST(Heatmap, RefusesSizesThatDoNotFit) {
  Heatmap heatmap = small_heatmap();
  heatmap.values[1].pop_back();
  EXPECT_THROW(heatmap_svg(heatmap), Error);
  heatmap = small_heatmap();
  heatmap.y_ticks.push_back("2");
  EXPECT_THROW(heatmap_svg(heatmap), Error);
  heatmap = small_heatmap();
  heatmap.cell_texts = {{"x", "y"}};
  EXPECT_THROW(heatmap_svg(heatmap), Error);
  EXPECT_THROW(heatmap_svg(Heatmap{}), Error);
}

// x coordinates of the marks of the first series.
std::vector<double> circle_centres(const std::string& svg) {
  std::vector<double> centres;
  const std::regex pattern("<circle cx=\"([0-9.]+)\"");
  for (std::sregex_iterator it(svg.begin(), svg.end(), pattern), end; it != end; ++it) {
    centres.push_back(std::stod((*it)[1]));
  }
  return centres;
}

TEST(LineChart, LogarithmicAxisSpacesPowersEvenly) {
  LineChart chart{.title = "T", .x_label = "x", .y_label = "y", .log_x = true};
  chart.series = {{.name = "s", .points = {{.x = 10, .y = 1}, {.x = 1000, .y = 2}, {.x = 100'000, .y = 3}}}};
  const std::vector<double> centres = circle_centres(line_chart_svg(chart));
  ASSERT_EQ(centres.size(), 4U);  // and the legend's
  EXPECT_NEAR(centres[1] - centres[0], centres[2] - centres[1], 0.02);
  chart.log_x = false;
  const std::vector<double> linear = circle_centres(line_chart_svg(chart));
  EXPECT_NEAR((linear[1] - linear[0]) / (linear[2] - linear[0]), 990.0 / 99990, 1e-4);
}

TEST(LineChart, DrawsIntervalsOnlyWhereGiven) {
  LineChart chart{.title = "T", .x_label = "x", .y_label = "y", .percent_y = true};
  chart.series = {{.name = "s", .points = {{.x = 1, .y = 0.5}, {.x = 2, .y = 0.5}}}};
  const std::size_t without = count(line_chart_svg(chart), "<line");
  chart.series[0].points[0].low = 0.4;
  chart.series[0].points[0].high = 0.6;
  EXPECT_EQ(count(line_chart_svg(chart), "<line"), without + 3);
}

TEST(LineChart, OnePointIsDrawn) {
  LineChart chart{.title = "T", .x_label = "x", .y_label = "y"};
  chart.series = {{.name = "s", .points = {{.x = 3, .y = 0}}}};
  const std::string svg = line_chart_svg(chart);
  EXPECT_EQ(count(svg, "nan"), 0U);
  EXPECT_EQ(count(svg, "inf"), 0U);
}

TEST(LineChart, RefusesWhatItCannotDraw) {
  LineChart chart{.title = "T", .x_label = "x", .y_label = "y", .log_x = true};
  EXPECT_THROW(line_chart_svg(chart), Error);
  chart.series = {{.name = "s", .points = {{.x = 0, .y = 1}}}};
  EXPECT_THROW(line_chart_svg(chart), Error);
  chart.series[0].points[0] = {.x = 1, .y = NAN};
  EXPECT_THROW(line_chart_svg(chart), Error);
}

TEST(ContextStrip, RefusesChunksOutside) {
  ContextStrip strip{.title = "T", .num_chunks = 4, .chunk_size = 31, .question_chunk = 3, .training_length = 496};
  strip.marks = {{3, 0.5, true, "a"}};
  EXPECT_THAT(context_strip_svg(strip), HasSubstr("token 124"));
  strip.marks[0].chunk_index = 4;
  EXPECT_THROW(context_strip_svg(strip), Error);
}

TEST(Palette, TextOnEveryCellIsReadable) {
  EXPECT_EQ(readable_on("#ffffff"), "#000000");
  EXPECT_EQ(readable_on("#000000"), "#ffffff");
  EXPECT_EQ(readable_on(viridis(0)), "#ffffff");
  EXPECT_EQ(readable_on(viridis(1)), "#000000");
  EXPECT_EQ(viridis(-3), viridis(0));
  EXPECT_EQ(viridis(7), viridis(1));
}

TEST(Escape, MarkupAndBrokenText) {
  EXPECT_EQ(escape_markup("<a & \"b\" 'c'>"), "&lt;a &amp; &quot;b&quot; &#39;c&#39;&gt;");
  EXPECT_EQ(printable_text("ä€😀"), "ä€😀");
  EXPECT_EQ(printable_text("\x80x"), "\xEF\xBF\xBDx");
  EXPECT_EQ(printable_text("\xC0\xAF"), "\xEF\xBF\xBD\xEF\xBF\xBD");  // overlong
  EXPECT_EQ(printable_text("\xED\xA0\x80").size(), 9U);               // surrogate
  EXPECT_EQ(printable_text("\xF4\x90\x80\x80").size(), 12U);          // beyond U+10FFFF
  EXPECT_EQ(printable_text("\xE2\x82"), "\xEF\xBF\xBD\xEF\xBF\xBD");  // cut short
  EXPECT_EQ(printable_text(std::string_view("\0\n\x7F", 3)), "␀␊␡");
}

TEST(Units, ReadLikeWriting) {
  EXPECT_EQ(group_digits(0), "0");
  EXPECT_EQ(group_digits(999), "999");
  EXPECT_EQ(group_digits(1000), "1,000");
  EXPECT_EQ(group_digits(-1234567), "-1,234,567");
  EXPECT_EQ(percent_text(0.29), "29%");
  EXPECT_EQ(percent_text(0.985), "98.5%");
  EXPECT_EQ(percent_text(NAN), "–");
}

// More series than colours, and more names than a row holds.
TEST(LineChart, ManySeriesAreToldApart) {
  LineChart chart{.title = "many", .x_label = "x", .y_label = "y", .zoom_y = true};
  for (std::size_t i = 0; i < 8; ++i) {
    const double y = 10 + static_cast<double>(i);
    chart.series.push_back({.name = "a series of a long name", .points = {{1, y}, {2, y + 1}}, .colour = i});
  }
  const std::string svg = line_chart_svg(chart);
  const auto count = [&svg](const std::string& text) {
    int found = 0;
    for (std::size_t at = svg.find(text); at != std::string::npos; at = svg.find(text, at + 1)) ++found;
    return found;
  };
  EXPECT_EQ(count("a series of a long name"), 8);
  // Three rows of names: 54, 76 and 98.
  for (const char* row : {"58.5", "80.5", "102.5"}) EXPECT_GT(count(row), 0) << row;
  EXPECT_EQ(count("124.5"), 0);
  EXPECT_EQ(count("stroke-dasharray=\"2 4\""), 8) << "a curve and a key for each of the second four";
}

}  // namespace
}  // namespace lookback
