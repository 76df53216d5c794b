// Builds an SVG document element by element. Texts are escaped; numbers are written with two decimals.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "report/palette.h"

namespace lookback {

struct SvgPoint {
  double x = 0;
  double y = 0;
};

// How a shape is drawn. A named colour follows the page's light or dark theme, `fill_value` never does.
struct SvgStyle {
  std::optional<NamedColour> fill = {};
  std::optional<NamedColour> stroke = {};
  std::string fill_value = {};
  double stroke_width = 1;
  double opacity = 1;
  std::string_view dashes = {};  // stroke-dasharray, such as "5 4"
  double corner_radius = 0;      // rectangles
};

struct SvgTextStyle {
  std::string_view anchor = "start";  // start, middle, end
  double size = 13;
  NamedColour colour = colours::ink;
  std::string colour_value = {};  // if set, instead of `colour`
  bool bold = false;
  bool monospace = false;
  std::optional<NamedColour> halo = {};  // around the letters, to be read over curves
  double rotation_degrees = 0;           // about (x, y)
};

class SvgBuilder {
 public:
  // `description` is read out by screen readers in place of the picture.
  SvgBuilder(double width, double height, std::string_view description);

  // `hover` of the shapes: a text that browsers show when the pointer rests on it.
  void rectangle(SvgPoint corner, double width, double height, const SvgStyle& style, std::string_view hover = "");
  void circle(SvgPoint centre, double radius, const SvgStyle& style, std::string_view hover = "");
  void line(SvgPoint from, SvgPoint to, const SvgStyle& style);
  void polyline(std::span<const SvgPoint> points, const SvgStyle& style);
  void polygon(std::span<const SvgPoint> points, const SvgStyle& style, std::string_view hover = "");
  void text(SvgPoint at, std::string_view text, const SvgTextStyle& style);

  // The whole document; the builder is empty afterwards.
  std::string finish();

 private:
  void shape(std::string_view tag, const std::string& geometry, const SvgStyle& style, std::string_view hover);

  std::string document_;
};

}  // namespace lookback
