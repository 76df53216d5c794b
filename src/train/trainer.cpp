#include "train/trainer.h"

#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/error.h"
#include "core/progress.h"
#include "train/checkpoint.h"
#include "train/clipping.h"
#include "train/flops.h"
#include "train/generator.h"
#include "train/metrics.h"
#include "train/optimizer.h"
#include "train/run_folder.h"
#include "train/schedule.h"
#include "train/training_step.h"

namespace lookback {
namespace {

class Trainer {
 public:
  Trainer(Model& model, BatchSource& source, const TrainConfig& config, const TrainIo& io)
      : model_(model),
        source_(source),
        config_(config),
        io_(io),
        optimizer_(model.parameters(), config),
        generator_(make_generator(model.parameters().device(), config.seed)),
        line_(io.quiet) {}

  TrainResult run() {
    if (!io_.run_folder.empty()) open_run_folder();
    first_step_ = progress_.step;
    while (progress_.step < config_.steps && !interrupted_) {
      StepMetrics metrics = take_step();
      const bool improved = validate_if_due(metrics);
      if (log_) log_->append(metrics);
      if (io_.on_step) io_.on_step(metrics);
      interrupted_ = io_.stop.stop_requested() && progress_.step < config_.steps;
      if (folder_ && (improved || interrupted_ || due(config_.checkpoint_every))) save();
      show(metrics);
    }
    return result();
  }

 private:
  // The last step is always due.
  bool due(std::int64_t every) const {
    return progress_.step == config_.steps || (every > 0 && progress_.step % every == 0);
  }

  CheckpointParts parts() { return {model_, optimizer_, generator_, source_, progress_, io_.tokenizer}; }

  void open_run_folder() {
    folder_ = std::make_unique<RunFolder>(io_.run_folder);
    require(io_.resume || !folder_->has_checkpoints(),
            "{}: already holds a training run; go on with it (--resume) or choose another folder",
            io_.run_folder.string());
    const auto last = read_last_checkpoint();
    if (last) {
      last_saved_ = *last;
      require(progress_.step <= config_.steps, "{}: has done {} steps, more than the {} asked for", last->string(),
              progress_.step, config_.steps);
    }
    if (io_.from_step) folder_->set_aside(progress_.step);
    // Of what was best before an earlier step, the checkpoint may be gone: it begins anew.
    if (progress_.best_step > 0 && !std::filesystem::exists(checkpoint_path(io_.run_folder, progress_.best_step))) {
      progress_.best_step = 0;
      progress_.best_loss = std::numeric_limits<double>::infinity();
    }
    folder_->recover(last ? progress_.step : -1, progress_.best_step);
    log_ = std::make_unique<MetricsLog>(io_.run_folder / "metrics.jsonl", progress_.step);
    // From here on there is always something to go on from.
    if (!last) save();
  }

  // Reads what the run goes on from, and returns its path; nothing for a run that has saved nothing.
  std::optional<std::filesystem::path> read_last_checkpoint() {
    std::optional<std::filesystem::path> last;
    try {
      last = io_.from_step ? folder_->checkpoint(*io_.from_step) : folder_->last_checkpoint();
      if (last) read_checkpoint(parts(), *last);
    } catch (const Error& error) {
      const auto whole = newest_whole_checkpoint();
      fail("{}\n  {}", error.what(),
           whole ? fmt::format("the newest checkpoint that is whole is that of step {}: go on from it with --resume "
                               "--from-step {} (later ones are set aside)",
                               *whole, *whole)
                 : "no checkpoint of this run is whole: begin a new one");
    }
    return last;
  }

  std::optional<std::int64_t> newest_whole_checkpoint() {
    const std::vector<std::int64_t> steps = folder_->checkpoint_steps();
    for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
      try {
        read_checkpoint(parts(), checkpoint_path(io_.run_folder, *step));
      } catch (const Error&) {
        continue;
      }
      return *step;
    }
    return std::nullopt;
  }

  StepMetrics take_step() {
    const auto start = Clock::now();
    ForwardOptions options;
    options.training = true;
    options.generator = generator_;
    options.gradient_checkpointing = config_.gradient_checkpointing;
    options.dtype = config_.dtype;
    std::vector<TokenBatch> batches;
    double flops = 0;
    for (std::int64_t i = 0; i < config_.grad_accumulation_steps; ++i) {
      batches.push_back(source_.next());
      flops +=
          static_cast<double>(batches.back().num_sequences) * training_flops(model_.config(), batches.back().length);
    }
    model_.parameters().zero_gradients();
    const StepLoss loss = accumulate_gradients(model_, batches, options);
    StepMetrics metrics;
    metrics.step = progress_.step + 1;
    metrics.loss = loss.loss;
    metrics.exact_match = loss.exact_match;
    metrics.lr = learning_rate(config_, progress_.step);
    metrics.gradient_norm = clip_gradients(model_.parameters(), config_.clip_grad_norm);
    if (!std::isfinite(metrics.loss)) stop_diverged(metrics.step, "loss", metrics.loss);
    if (!std::isfinite(metrics.gradient_norm)) stop_diverged(metrics.step, "gradient norm", metrics.gradient_norm);
    optimizer_.step(metrics.lr);
    source_.observe(loss.exact_match);
    ++progress_.step;
    progress_.tokens += loss.tokens;
    std::vector<double>& recent = progress_.recent_losses;
    if (recent.size() == recent_loss_steps) recent.erase(recent.begin());
    recent.push_back(loss.loss);
    metrics.recent_loss = recent_loss();

    const double seconds = seconds_since(start);
    step_seconds_ += seconds;
    step_tokens_ += static_cast<double>(loss.tokens);
    step_flops_ += flops;
    metrics.tokens = progress_.tokens;
    metrics.tokens_per_second = static_cast<double>(loss.tokens) / seconds;
    if (io_.machine_peak_flops > 0) metrics.peak_fraction = flops / seconds / io_.machine_peak_flops;
    return metrics;
  }

  // Whether the model is now the best so far, by validation loss or, without one, the recent training loss.
  bool validate_if_due(StepMetrics& metrics) {
    double loss = metrics.recent_loss;
    if (io_.validate) {
      if (!due(config_.validate_every)) return false;
      const ValidationResult result = io_.validate();
      if (!std::isfinite(result.loss)) stop_diverged(metrics.step, "validation loss", result.loss);
      loss = result.loss;
      metrics.validation_loss = progress_.validation_loss = result.loss;
    } else if (!due(config_.checkpoint_every)) {
      return false;
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

  void save() {
    if (!has_finite_weights(model_)) stop_diverged(progress_.step, "update of the weights", NAN);
    log_->sync();
    last_saved_ = folder_->save(progress_.step, progress_.best_step, config_.keep_checkpoints,
                                [this](const std::filesystem::path& folder) { write_checkpoint(parts(), folder); });
  }

  [[noreturn]] void stop_diverged(std::int64_t step, const char* what, double value) {
    line_.finish();
    const std::string good = last_saved_.empty() ? "none was saved" : last_saved_.string();
    fail(
        "training diverged: the {} of step {} is {}; last good checkpoint: {}. A lower lr, a longer warmup or stronger "
        "clipping may help, in a new run (--init starts from a checkpoint's weights)",
        what, step, value, good);
  }

  void show(const StepMetrics& metrics) {
    if (!line_.due()) return;
    // What tells how long to wait comes first: a line is cut where the terminal ends.
    const std::string eta = eta_text(static_cast<double>(progress_.step - first_step_),
                                     static_cast<double>(config_.steps - first_step_), line_.elapsed_seconds());
    std::string text = fmt::format("step {}/{}  ETA {}  loss {:.4f}  ppl {:.4g}  lr {:.2e}  {} tok/s", metrics.step,
                                   config_.steps, eta, metrics.recent_loss, std::exp(metrics.recent_loss), metrics.lr,
                                   format_count(step_tokens_ / step_seconds_));
    if (io_.machine_peak_flops > 0) text += fmt::format("  {:.0f}% peak", 100 * peak_fraction());
    if (std::isfinite(metrics.exact_match)) text += fmt::format("  exact {:.0f}%", 100 * metrics.exact_match);
    if (progress_.validation_loss) text += fmt::format("  valid {:.4f}", *progress_.validation_loss);
    line_.show(text);
  }

  double peak_fraction() const {
    return io_.machine_peak_flops > 0 && step_seconds_ > 0 ? step_flops_ / step_seconds_ / io_.machine_peak_flops : 0;
  }

  TrainResult result() {
    line_.finish();
    TrainResult result;
    result.steps = progress_.step;
    result.interrupted = interrupted_;
    result.loss = recent_loss();
    if (progress_.best_step > 0) result.best_loss = progress_.best_loss;
    result.best_step = progress_.best_step;
    result.validation_loss = progress_.validation_loss;
    result.tokens = progress_.tokens;
    result.seconds = line_.elapsed_seconds();
    result.tokens_per_second = step_seconds_ > 0 ? step_tokens_ / step_seconds_ : 0;
    result.peak_fraction = peak_fraction();
    return result;
  }

  Model& model_;
  BatchSource& source_;
  const TrainConfig& config_;
  const TrainIo& io_;
  AdamW optimizer_;
  at::Generator generator_;
  ProgressLine line_;
  std::unique_ptr<RunFolder> folder_;
  std::unique_ptr<MetricsLog> log_;
  std::filesystem::path last_saved_;
  TrainProgress progress_;
  std::int64_t first_step_ = 0;
  bool interrupted_ = false;
  double step_seconds_ = 0;  // of this call's steps alone
  double step_tokens_ = 0;
  double step_flops_ = 0;
};

}  // namespace

TrainResult train(Model& model, BatchSource& source, const TrainConfig& config, const TrainIo& io) {
  check_train_config(config, "training configuration");
  return Trainer(model, source, config, io).run();
}

}  // namespace lookback
