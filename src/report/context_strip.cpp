#include "report/context_strip.h"

#include <fmt/core.h>

#include <algorithm>

#include "core/error.h"
#include "core/units.h"
#include "report/palette.h"
#include "report/svg.h"

namespace lookback {
namespace {

constexpr double width = 880;
constexpr double left = 34;
constexpr double right = 34;
constexpr double strip_top = 176;
constexpr double strip_height = 26;
constexpr double column_height = 84;
constexpr double height = 262;

double place(const ContextStrip& strip, double chunk) {
  return left + (width - left - right) * chunk / static_cast<double>(strip.num_chunks);
}

// Labels that would overlap move to a higher row.
class LabelRows {
 public:
  double y_for(double centre, std::size_t num_characters) {
    const double half = 3.4 * static_cast<double>(num_characters) + 4;
    std::size_t row = 0;
    while (row < right_ends_.size() &&
           std::any_of(
               right_ends_[row].begin(), right_ends_[row].end(),
               [&](auto span) { return centre - half < span.second && centre + half > span.first; })) {
      ++row;
    }
    if (row == right_ends_.size()) right_ends_.emplace_back();
    right_ends_[row].emplace_back(centre - half, centre + half);
    return strip_top - column_height - 10 - 16 * static_cast<double>(std::min<std::size_t>(row, 2));
  }

 private:
  std::vector<std::vector<std::pair<double, double>>> right_ends_;
};

void draw_mark(const ContextStrip& strip, const StripMark& mark, LabelRows& rows, SvgBuilder& svg) {
  const double x = place(strip, static_cast<double>(mark.chunk_index) + 0.5);
  const NamedColour& colour = mark.needle ? colours::series_1 : colours::axis;
  const double column = std::max(3.0, column_height * std::clamp(mark.weight, 0.0, 1.0));
  const std::string hover = fmt::format("chunk {}, weight {:.3f}", group_digits(mark.chunk_index), mark.weight);
  svg.rectangle({x - 4, strip_top - column}, 8, column, {.fill = colour, .corner_radius = 2}, hover);
  svg.line({x, strip_top}, {x, strip_top + strip_height}, {.stroke = colour, .stroke_width = 2});
  const double half = 3.4 * static_cast<double>(mark.label.size());
  const double label_x = std::clamp(x, left + half - 20, width - right - half + 20);
  svg.text({label_x, rows.y_for(label_x, mark.label.size())}, mark.label,
           {.anchor = "middle",
            .size = 12.5,
            .colour = mark.needle ? colours::series_1 : colours::muted,
            .bold = mark.needle});
}

}  // namespace

std::string context_strip_svg(const ContextStrip& strip) {
  require(strip.num_chunks > 0, "context strip \"{}\": no chunks", strip.title);
  for (const StripMark& mark : strip.marks) {
    require(mark.chunk_index >= 0 && mark.chunk_index < strip.num_chunks, "context strip \"{}\": chunk {} of {}",
            strip.title, mark.chunk_index, strip.num_chunks);
  }
  const std::int64_t num_tokens = strip.num_chunks * strip.chunk_size;
  SvgBuilder svg(width, height, strip.title);
  svg.text({16, 30}, strip.title, {.size = 16, .bold = true});
  svg.rectangle({left, strip_top}, width - left - right, strip_height, {.fill = colours::grid, .corner_radius = 4});

  LabelRows rows;
  for (const StripMark& mark : strip.marks) {
    if (mark.needle) draw_mark(strip, mark, rows, svg);
  }
  for (const StripMark& mark : strip.marks) {
    if (!mark.needle) draw_mark(strip, mark, rows, svg);
  }
  const double question = place(strip, static_cast<double>(strip.question_chunk) + 0.5);
  svg.line({question, strip_top - 6}, {question, strip_top + strip_height + 6},
           {.stroke = colours::series_2, .stroke_width = 3});

  const double base = strip_top + strip_height;
  svg.text({left, base + 22}, "token 0", {.size = 12.5, .colour = colours::muted});
  svg.text({width - right, base + 22}, fmt::format("the question, at token {}", group_digits(num_tokens)),
           {.anchor = "end", .size = 12.5, .colour = colours::series_2, .bold = true});
  const double training =
      place(strip, static_cast<double>(strip.training_length) / static_cast<double>(strip.chunk_size)) - left;
  svg.rectangle({left, base + 34}, std::max(training, 1.0), 8, {.fill = colours::series_3});
  svg.text({left + std::max(training, 1.0) + 8, base + 42},
           fmt::format("the longest text seen in training, {} tokens, at the same scale",
                       group_digits(strip.training_length)),
           {.size = 12.5, .colour = colours::muted});
  return svg.finish();
}

}  // namespace lookback
