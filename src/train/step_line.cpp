#include "train/step_line.h"

#include <fmt/core.h>

#include <cmath>
#include <string>

namespace lookback {

void StepLine::record(const StepMetrics& metrics) {
  if (!steps_before_) steps_before_ = metrics.step - 1;
  seconds_ += metrics.seconds;
  tokens_ += metrics.tokens_per_second * metrics.seconds;
  peak_seconds_ += metrics.peak_fraction * metrics.seconds;
  if (metrics.validation_loss) validation_loss_ = metrics.validation_loss;
  if (!line_.due()) return;
  // What tells how long to wait comes first: a line is cut where the terminal ends.
  const std::string eta = eta_text(static_cast<double>(metrics.step - *steps_before_),
                                   static_cast<double>(num_steps_ - *steps_before_), line_.elapsed_seconds());
  std::string text =
      fmt::format("step {}/{}  ETA {}  loss {:.4f}  ppl {:.4g}  lr {:.2e}  {} tok/s", metrics.step, num_steps_, eta,
                  metrics.recent_loss, std::exp(metrics.recent_loss), metrics.lr, format_count(tokens_ / seconds_));
  if (peak_seconds_ > 0) text += fmt::format("  {:.0f}% peak", 100 * peak_seconds_ / seconds_);
  if (std::isfinite(metrics.exact_match)) text += fmt::format("  exact {:.0f}%", 100 * metrics.exact_match);
  if (validation_loss_) text += fmt::format("  valid {:.4f}", *validation_loss_);
  line_.show(text);
}

}  // namespace lookback
