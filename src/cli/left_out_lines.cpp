#include "cli/left_out_lines.h"

#include <fmt/core.h>

#include <cstdio>
#include <utility>

#include "core/standard_streams.h"

namespace lookback {

LeftOutLines::LeftOutLines(ProgressLine& line, std::string rest) : line_(line), rest_(std::move(rest)) {}

void LeftOutLines::show(const std::string& reason) {
  constexpr int most_shown = 20;
  line_.finish();
  if (num_shown_ == most_shown) return;
  print_message("left out: {}\n", reason);
  if (++num_shown_ == most_shown) print_message("left out: ... {}\n", rest_);
}

}  // namespace lookback
