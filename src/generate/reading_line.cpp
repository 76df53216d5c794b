#include "generate/reading_line.h"

#include <fmt/core.h>

namespace lookback {

void show_reading(ProgressLine& progress, double num_read, double num_tokens) {
  const double seconds = progress.elapsed_seconds();
  if (num_read == num_tokens) {
    progress.finish();
  } else if (progress.due()) {
    progress.show(fmt::format("reading the prompt: {} of {} tokens, {}, {} left", format_count(num_read),
                              format_count(num_tokens), rate_text(num_read, seconds),
                              eta_text(num_read, num_tokens, seconds)));
  }
}

}  // namespace lookback
