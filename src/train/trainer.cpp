#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/error.h"
#include "data/batches_ahead.h"
#include "train/checkpoint.h"
#include "train/host_copy.h"
#include "train/metrics.h"
#include "train/run_folder.h"
#include "train/training_step.h"

namespace lookback {
namespace {

// A run's folder: what the run goes on from, and what it leaves behind. Without a folder, nothing is read or written.
class RunFiles {
 public:
  // num_kept: of the last checkpoints, which stay; the best one does, too.
  RunFiles(const TrainIo& io, const CheckpointParts& parts, std::int64_t num_kept)
      : io_(io), parts_(parts), num_kept_(num_kept) {}

  // Reads what the run goes on from into the parts.
  void open(std::int64_t num_steps) {
    if (io_.run_folder.empty()) return;
    folder_ = std::make_unique<RunFolder>(io_.run_folder);
    require(io_.resume || !folder_->has_checkpoints(),
            "{}: already holds a training run; resume it or choose another folder", io_.run_folder.string());
    TrainProgress& progress = parts_.progress;
    const auto last = read_last_checkpoint();
    if (last) {
      last_saved_ = *last;
      require(progress.step <= num_steps, "{}: has done {} steps, more than the {} asked for", last->string(),
              progress.step, num_steps);
    }
    if (io_.from_step) folder_->set_aside(progress.step);
    // Of what was best before an earlier step, the checkpoint may be gone: it begins anew.
    if (progress.best_step > 0 && !std::filesystem::exists(checkpoint_path(io_.run_folder, progress.best_step))) {
      progress.best_step = 0;
      progress.best_loss = std::numeric_limits<double>::infinity();
    }
    folder_->recover(last ? progress.step : -1, progress.best_step);
    log_ = std::make_unique<MetricsLog>(io_.run_folder / "metrics.jsonl", progress.step);
    // From here on there is always something to go on from.
    if (!last) save();
  }

  void record(const StepMetrics& metrics) {
    if (log_) log_->record(metrics);
  }

  void save() {
    if (!folder_) return;
    const std::int64_t step = parts_.progress.step;
    if (!has_finite_weights(parts_.model)) fail_diverged(step, "update of the weights", NAN);
    log_->sync();
    last_saved_ = folder_->save(step, parts_.progress.best_step, num_kept_,
                                [this](const std::filesystem::path& folder) { write_checkpoint(parts_, folder); });
  }

  [[noreturn]] void fail_diverged(std::int64_t step, const char* what, double value) const {
    const std::string good = last_saved_.empty() ? "none was saved" : last_saved_.string();
    fail(
        "training diverged: the {} of step {} is {}; last good checkpoint: {}. A lower lr, a longer warmup or stronger "
        "clipping may help, in a new run, which may start from a checkpoint's weights (init)",
        what, step, value, good);
  }

 private:
  // Reads what the run goes on from, and returns its path; nothing for a run that has saved nothing.
  std::optional<std::filesystem::path> read_last_checkpoint() {
    std::optional<std::filesystem::path> last;
    try {
      last = io_.from_step ? folder_->checkpoint(*io_.from_step) : folder_->last_checkpoint();
      if (last) read_checkpoint(parts_, *last);
    } catch (const Error& error) {
      const auto whole = newest_whole_checkpoint();
      fail("{}\n  {}", error.what(),
           whole ? fmt::format("the newest checkpoint that is whole is that of step {}: resume from there "
                               "(from-step {}; later ones are set aside)",
                               *whole, *whole)
                 : "no checkpoint of this run is whole: begin a new one");
    }
    return last;
  }

  std::optional<std::int64_t> newest_whole_checkpoint() {
    const std::vector<std::int64_t> steps = folder_->checkpoint_steps();
    for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
      try {
        read_checkpoint(parts_, checkpoint_path(io_.run_folder, *step));
      } catch (const Error&) {
        continue;
      }
      return *step;
    }
    return std::nullopt;
  }

  const TrainIo& io_;
  CheckpointParts parts_;
  std::int64_t num_kept_;
  std::unique_ptr<RunFolder> folder_;
  std::unique_ptr<MetricsLog> log_;
  std::filesystem::path last_saved_;
};

class TrainLoop {
 public:
  TrainLoop(Model& model, BatchSource& source, const TrainConfig& config, const TrainIo& io)
      : config_(config),
        io_(io),
        source_(source),
        step_(model, config),
        most_unread_(io.most_unread_steps.value_or(model.parameters().device().is_cpu() ? 0 : 1)) {
    // One step's.
    if (!source.listens()) ahead_.emplace(source, static_cast<std::size_t>(config.grad_accumulation_steps));
    files_.emplace(io, CheckpointParts{model, step_.optimizer(), step_.generator(), batches(), progress_, io.tokenizer},
                   config.keep_checkpoints);
  }

  TrainResult run() {
    files_->open(config_.steps);
    num_begun_ = progress_.step;
    bool interrupted = false;
    while (num_begun_ < config_.steps && !interrupted) {
      begin_step();
      finish_steps(must_be_read(num_begun_) ? 0 : most_unread_);
      interrupted = io_.stop.stop_requested() && num_begun_ < config_.steps;
      if (interrupted) finish_steps(0);
      if (is_best_ || interrupted || due(num_begun_, config_.checkpoint_every)) files_->save();
    }
    if (ahead_) ahead_->finish();
    return result(interrupted);
  }

 private:
  // A step whose numbers nobody has read yet.
  struct Unread {
    HostCopy values;  // loss, gradient norm, exact match
    StepMetrics metrics;
    std::int64_t num_tokens = 0;
    double flops = 0;
    Clock::time_point begin;
  };

  BatchSource& batches() { return ahead_ ? *ahead_ : source_; }

  // The last step is always due.
  bool due(std::int64_t step, std::int64_t every) const {
    return step == config_.steps || (every > 0 && step % every == 0);
  }

  // Of a run with stages, that of step 1, 2, ...; from 1 on.
  std::int64_t stage_of(std::int64_t step) const {
    return static_cast<std::int64_t>(stage_position(config_, step - 1).stage) + 1;
  }

  bool begins_stage(std::int64_t step) const {
    return !config_.stages.empty() && stage_position(config_, step - 1).step == 0;
  }

  // Whether what follows the step needs the numbers of it and all before it.
  bool must_be_read(std::int64_t step) const {
    return source_.listens() || due(step, config_.checkpoint_every) ||
           (io_.validate && due(step, config_.validate_every));
  }

  void begin_step() {
    const auto begin = Clock::now();
    std::vector<TokenBatch> step_batches;
    for (std::int64_t i = 0; i < config_.grad_accumulation_steps; ++i) step_batches.push_back(batches().next());
    const TrainingStep::Result taken = step_.take(step_batches, num_begun_);
    ++num_begun_;
    StepMetrics metrics;
    metrics.step = num_begun_;
    if (!config_.stages.empty()) metrics.stage = stage_of(num_begun_);
    metrics.lr = taken.learning_rate;
    unread_.push_back({HostCopy(at::stack({taken.loss, taken.gradient_norm, taken.exact_match})), metrics,
                       taken.num_tokens, taken.flops, begin});
  }

  // Reads the numbers of all steps begun but the last `num_left`, and tells them.
  void finish_steps(std::size_t num_left) {
    is_best_ = false;
    while (unread_.size() > num_left) {
      const Unread step = std::move(unread_.front());
      unread_.pop_front();
      finish_step(step);
    }
  }

  void finish_step(const Unread& step) {
    StepMetrics metrics = step.metrics;
    const std::vector<double> values = step.values.read();
    metrics.loss = values[0];
    metrics.gradient_norm = values[1];
    metrics.exact_match = values[2];
    if (!std::isfinite(metrics.loss)) files_->fail_diverged(metrics.step, "loss", metrics.loss);
    if (!std::isfinite(metrics.gradient_norm)) {
      files_->fail_diverged(metrics.step, "gradient norm", metrics.gradient_norm);
    }
    if (source_.listens()) source_.observe(metrics.exact_match);
    progress_.step = metrics.step;
    progress_.tokens += step.num_tokens;
    std::vector<double>& recent = progress_.recent_losses;
    if (begins_stage(metrics.step)) recent.clear();  // what stages read has losses that do not compare
    if (recent.size() == recent_loss_steps) recent.erase(recent.begin());
    recent.push_back(metrics.loss);
    metrics.recent_loss = recent_loss();

    // Steps overlap: what one took is counted from when the one before it was read.
    metrics.seconds = seconds_since(std::max(step.begin, last_read_));
    last_read_ = Clock::now();
    step_seconds_ += metrics.seconds;
    step_tokens_ += static_cast<double>(step.num_tokens);
    step_flops_ += step.flops;
    metrics.tokens = progress_.tokens;
    metrics.tokens_per_second = static_cast<double>(step.num_tokens) / metrics.seconds;
    if (io_.machine_peak_flops > 0) metrics.peak_fraction = step.flops / metrics.seconds / io_.machine_peak_flops;

    is_best_ = validate_if_due(metrics);
    files_->record(metrics);
    for (TrainRecorder* const recorder : io_.recorders) recorder->record(metrics);
  }

  // Whether the model is now the best so far, by validation loss or, without one, the recent training loss.
  bool validate_if_due(StepMetrics& metrics) {
    double loss = metrics.recent_loss;
    if (io_.validate) {
      if (!due(metrics.step, config_.validate_every)) return false;
      const ValidationResult result = io_.validate();
      if (!std::isfinite(result.loss)) files_->fail_diverged(metrics.step, "validation loss", result.loss);
      loss = result.loss;
      metrics.validation_loss = progress_.validation_loss = result.loss;
    } else if (!due(metrics.step, config_.checkpoint_every)) {
      return false;
    }
    if (!io_.validate && !config_.stages.empty() && progress_.best_step > 0 &&
        stage_of(progress_.best_step) != stage_of(metrics.step)) {
      progress_.best_loss = std::numeric_limits<double>::infinity();
    }
    if (!(loss < progress_.best_loss)) return false;
    progress_.best_loss = loss;
    progress_.best_step = progress_.step;
    return true;
  }

  double recent_loss() const {
    const std::vector<double>& recent = progress_.recent_losses;
    if (recent.empty()) return std::numeric_limits<double>::quiet_NaN();
    return std::accumulate(recent.begin(), recent.end(), 0.0) / static_cast<double>(recent.size());
  }

  TrainResult result(bool interrupted) const {
    TrainResult result;
    result.steps = progress_.step;
    result.interrupted = interrupted;
    result.loss = recent_loss();
    if (progress_.best_step > 0) result.best_loss = progress_.best_loss;
    result.best_step = progress_.best_step;
    result.validation_loss = progress_.validation_loss;
    result.tokens = progress_.tokens;
    result.seconds = seconds_since(begin_);
    if (step_seconds_ > 0) {
      result.tokens_per_second = step_tokens_ / step_seconds_;
      if (io_.machine_peak_flops > 0) result.peak_fraction = step_flops_ / step_seconds_ / io_.machine_peak_flops;
    }
    return result;
  }

  const TrainConfig& config_;
  const TrainIo& io_;
  BatchSource& source_;
  std::optional<BatchesAhead> ahead_;
  TrainingStep step_;
  TrainProgress progress_;  // of the steps whose numbers are read
  std::optional<RunFiles> files_;
  std::size_t most_unread_;
  std::deque<Unread> unread_;
  std::int64_t num_begun_ = 0;
  bool is_best_ = false;  // after the last step
  Clock::time_point begin_ = Clock::now(), last_read_ = begin_;
  double step_seconds_ = 0;  // of this call's steps alone
  double step_tokens_ = 0;
  double step_flops_ = 0;
};

}  // namespace

TrainResult train(Model& model, BatchSource& source, const TrainConfig& config, const TrainIo& io) {
  check_train_config(config, "training configuration");
  return TrainLoop(model, source, config, io).run();
}

}  // namespace lookback
