#include "train/step_line.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace lookback {

double work_until(std::span<const StageWork> stages, std::int64_t step) {
  double work = 0;
  for (const StageWork& stage : stages) {
    const std::int64_t done = std::min(step, stage.num_steps);
    work += static_cast<double>(done) * stage.work_per_step;
    step -= done;
  }
  return work;
}

void StepLine::record(const StepMetrics& metrics) {
  if (!steps_before_) steps_before_ = metrics.step - 1;
  seconds_ += metrics.seconds;
  tokens_ += metrics.tokens_per_second * metrics.seconds;
  peak_seconds_ += metrics.peak_fraction * metrics.seconds;
  if (metrics.validation_loss) validation_loss_ = metrics.validation_loss;
  if (!line_.due()) return;
  // What tells how long to wait comes first: a line is cut where the terminal ends.
  std::int64_t num_steps = 0;
  for (const StageWork& stage : stages_) num_steps += stage.num_steps;
  const double work_before = work_until(stages_, *steps_before_);
  const std::string eta = eta_text(work_until(stages_, metrics.step) - work_before,
                                   work_until(stages_, num_steps) - work_before, line_.elapsed_seconds());
  const std::string stage = metrics.stage > 0 ? fmt::format("  stage {}/{}", metrics.stage, stages_.size()) : "";
  std::string text = fmt::format("step {}/{}{}  ETA {}  loss {:.4f}  ppl {:.4g}  lr {:.2e}  {} tok/s", metrics.step,
                                 num_steps, stage, eta, metrics.recent_loss, std::exp(metrics.recent_loss), metrics.lr,
                                 format_count(tokens_ / seconds_));
  if (peak_seconds_ > 0) text += fmt::format("  {:.0f}% peak", 100 * peak_seconds_ / seconds_);
  if (std::isfinite(metrics.exact_match)) text += fmt::format("  exact {:.0f}%", 100 * metrics.exact_match);
  if (validation_loss_) text += fmt::format("  valid {:.4f}", *validation_loss_);
  line_.show(text);
}

}  // namespace lookback
