#include "report/svg.h"

#include <fmt/core.h>

#include <utility>

#include "report/escape.h"

namespace lookback {
namespace {

std::string style_attributes(const SvgStyle& style) {
  std::string classes;
  std::string attributes;
  if (style.fill) classes += fmt::format("fill-{}", style.fill->name);
  if (style.stroke) classes += fmt::format("{}stroke-{}", classes.empty() ? "" : " ", style.stroke->name);
  if (!classes.empty()) attributes += fmt::format(" class=\"{}\"", classes);
  if (!style.fill_value.empty()) {
    attributes += fmt::format(" fill=\"{}\"", escape_markup(style.fill_value));
  } else {
    attributes += fmt::format(" fill=\"{}\"", style.fill ? style.fill->light : "none");
  }
  if (style.stroke) {
    attributes += fmt::format(" stroke=\"{}\" stroke-width=\"{:.2f}\"", style.stroke->light, style.stroke_width);
    attributes += " stroke-linejoin=\"round\" stroke-linecap=\"round\"";
  }
  if (!style.dashes.empty()) attributes += fmt::format(" stroke-dasharray=\"{}\"", style.dashes);
  if (style.opacity < 1) attributes += fmt::format(" opacity=\"{:.2f}\"", style.opacity);
  if (style.corner_radius > 0) attributes += fmt::format(" rx=\"{:.2f}\"", style.corner_radius);
  return attributes;
}

std::string point_list(std::span<const SvgPoint> points) {
  std::string list;
  for (const SvgPoint& point : points) {
    if (!list.empty()) list += ' ';
    list += fmt::format("{:.2f},{:.2f}", point.x, point.y);
  }
  return list;
}

}  // namespace

SvgBuilder::SvgBuilder(double width, double height, std::string_view description) {
  document_ = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
      "height=\"{1:.0f}\" "
      "role=\"img\" aria-label=\"{2}\" "
      "font-family=\"system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', Arial, sans-serif\">\n",
      width, height, escape_markup(description));
  rectangle({0, 0}, width, height, {.fill = colours::paper});
}

void SvgBuilder::shape(std::string_view tag, const std::string& geometry, const SvgStyle& style,
                       std::string_view hover) {
  document_ += fmt::format("<{} {}{}", tag, geometry, style_attributes(style));
  if (hover.empty()) {
    document_ += "/>\n";
  } else {
    document_ += fmt::format("><title>{}</title></{}>\n", escape_markup(hover), tag);
  }
}

void SvgBuilder::rectangle(SvgPoint corner, double width, double height, const SvgStyle& style,
                           std::string_view hover) {
  shape("rect",
        fmt::format("x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\"", corner.x, corner.y, width, height),
        style, hover);
}

void SvgBuilder::circle(SvgPoint centre, double radius, const SvgStyle& style, std::string_view hover) {
  shape("circle", fmt::format("cx=\"{:.2f}\" cy=\"{:.2f}\" r=\"{:.2f}\"", centre.x, centre.y, radius), style, hover);
}

void SvgBuilder::line(SvgPoint from, SvgPoint to, const SvgStyle& style) {
  shape("line", fmt::format("x1=\"{:.2f}\" y1=\"{:.2f}\" x2=\"{:.2f}\" y2=\"{:.2f}\"", from.x, from.y, to.x, to.y),
        style, "");
}

void SvgBuilder::polyline(std::span<const SvgPoint> points, const SvgStyle& style) {
  shape("polyline", fmt::format("points=\"{}\"", point_list(points)), style, "");
}

void SvgBuilder::polygon(std::span<const SvgPoint> points, const SvgStyle& style, std::string_view hover) {
  shape("polygon", fmt::format("points=\"{}\"", point_list(points)), style, hover);
}

void SvgBuilder::text(SvgPoint at, std::string_view text, const SvgTextStyle& style) {
  document_ += fmt::format("<text x=\"{:.2f}\" y=\"{:.2f}\" font-size=\"{:.1f}\"", at.x, at.y, style.size);
  std::string classes;
  if (style.colour_value.empty()) classes = fmt::format("fill-{}", style.colour.name);
  if (style.halo) classes += fmt::format("{}stroke-{}", classes.empty() ? "" : " ", style.halo->name);
  if (!classes.empty()) document_ += fmt::format(" class=\"{}\"", classes);
  document_ += fmt::format(
      " fill=\"{}\"", style.colour_value.empty() ? std::string(style.colour.light) : escape_markup(style.colour_value));
  if (style.halo) {
    document_ += fmt::format(" stroke=\"{}\" stroke-width=\"4\" stroke-linejoin=\"round\" paint-order=\"stroke\"",
                             style.halo->light);
  }
  if (style.anchor != "start") document_ += fmt::format(" text-anchor=\"{}\"", style.anchor);
  if (style.bold) document_ += " font-weight=\"600\"";
  if (style.monospace) document_ += " font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\"";
  if (style.rotation_degrees != 0) {
    document_ += fmt::format(" transform=\"rotate({:.1f} {:.2f} {:.2f})\"", style.rotation_degrees, at.x, at.y);
  }
  document_ += fmt::format(">{}</text>\n", escape_markup(text));
}

std::string SvgBuilder::finish() {
  document_ += "</svg>\n";
  return std::exchange(document_, {});
}

}  // namespace lookback
