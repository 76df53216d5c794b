#include "cli/demo_run.h"

#include <ATen/Parallel.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cli/demo_results.h"
#include "cli/demo_state.h"
#include "core/error.h"
#include "core/progress.h"
#include "core/standard_streams.h"
#include "core/units.h"
#include "core/worker_threads.h"
#include "data/needle_curriculum.h"
#include "eval/demo_evaluation.h"
#include "eval/demo_plan.h"
#include "models/model_folder.h"
#include "text/tokenizer.h"
#include "train/batch_loss.h"
#include "train/step_line.h"
#include "train/trainer.h"

namespace lookback {
namespace {

constexpr std::int64_t validation_batches = 4;

class Demo {
 public:
  Demo(const DemoOptions& options, const StopToken& stop)
      : options_(options),
        stop_(stop),
        tokenizer_(load_tokenizer("bytes")),
        plan_(make_demo_plan(tokenizer_->vocab_size(), options.seed, options.steps, options.quick)),
        state_(prepare_folder(options.out), {{"seed", options.seed},
                                             {"steps", options.steps},
                                             {"quick", options.quick},
                                             {"tokenizer", tokenizer_->fingerprint()}}) {}

  std::optional<DemoReport> run() {
    // One thread in tensor operations: more gain nothing in models this small, and so results do not depend
    // on them.
    at::set_num_threads(1);
    if (!train_model(1, demo_drt, "DRT", plan_.drt) || !ask(2, demo_drt, "DRT")) return std::nullopt;
    // The second model reads exactly the batches of the first, stage by stage.
    plan_.curriculum.scheduled_starts = state_.training(demo_drt).stage_starts;
    if (!train_model(3, demo_sliding_window, "sliding window", plan_.sliding_window)) return std::nullopt;
    if (!ask(4, demo_sliding_window, "sliding window")) return std::nullopt;
    state_.save();
    return make_demo_report(state_, plan_, *tokenizer_, options_.out, options_.seed);
  }

 private:
  static std::filesystem::path prepare_folder(std::filesystem::path folder) {
    std::filesystem::create_directories(folder);
    return folder;
  }

  static void announce(int part, const std::string& text) { print_message("[{}/4] {}\n", part, text); }

  // Whether it is finished now (else: interrupted).
  bool train_model(int part, const char* folder, const char* name, const ModelConfig& config) {
    DemoTraining training = state_.training(folder);
    if (training.finished) {
      announce(part, fmt::format("{} is trained already ({})", name, format_duration(training.seconds)));
      return true;
    }
    const std::unique_ptr<Model> model = make_model(config, at::kCPU, options_.seed);
    announce(part, fmt::format("training {}: {} parameters, {} steps", name,
                               group_digits(model->parameters().num_elements()), plan_.train.steps));
    NeedleCurriculum curriculum(plan_.curriculum);
    TrainIo io;
    io.run_folder = options_.out / folder;
    io.resume = true;
    io.tokenizer = tokenizer_.get();
    io.validate = [&] { return validate(*model); };
    io.stop = stop_;
    StepLine line(plan_.train.steps);
    io.recorders = {&line};
    const TrainResult result = train(*model, curriculum, plan_.train, io);
    line.finish();
    training.seconds += result.seconds;
    training.finished = !result.interrupted;
    training.stage_starts = curriculum.stage_starts();
    state_.set_training(folder, training);
    if (training.finished) {
      print_message("      {} in {}, loss {:.3f}, answers' loss on unseen texts {:.3f}\n", name,
                    format_duration(training.seconds), result.loss, result.best_loss);
    }
    return training.finished;
  }

  // Mean loss of the answers' digits on texts of the last stage that training never sees.
  ValidationResult validate(Model& model) const {
    NeedleCurriculumConfig config = plan_.curriculum;
    config.seed = ~config.seed;
    config.stages = {config.stages.back()};
    config.scheduled_starts.clear();
    NeedleCurriculum unseen(config);
    LossSum sum;
    for (std::int64_t i = 0; i < validation_batches; ++i) {
      TokenBatch batch = unseen.next();
      std::vector<std::int64_t> labels(batch.labels.size(), ignored_label);
      for (const std::int64_t position : batch.answer_positions) {
        labels[static_cast<std::size_t>(position)] = batch.labels[static_cast<std::size_t>(position)];
      }
      batch.labels = std::move(labels);
      sum += evaluate_batch(model, batch, at::kFloat);
    }
    return {sum.mean(), sum.num_labels};
  }

  // What is asked of one model: cells not measured yet, the longest contexts first so that the threads end
  // together.
  struct Task {
    DemoLengthPlan length;
    std::size_t depth_index = 0;
    std::int64_t tokens = 0;
  };
  std::vector<Task> open_tasks(const char* folder) const {
    std::vector<Task> tasks;
    for (auto length = plan_.lengths.rbegin(); length != plan_.lengths.rend(); ++length) {
      for (std::size_t depth = 0; depth < plan_.depths.size(); ++depth) {
        if (state_.cell(folder, length->num_chunks, depth)) continue;
        tasks.push_back({*length, depth, length->num_chunks * plan_.drt.chunk_size * length->samples_per_depth});
      }
    }
    return tasks;
  }

  // Whether it is finished now (else: interrupted).
  bool ask(int part, const char* folder, const char* name) {
    announce(part, fmt::format("asking {}", name));
    const std::unique_ptr<Model> model = load_model(options_.out / folder, at::kCPU);
    try {
      measure_cells(folder, *model);
      if (!state_.inspection(folder)) {
        state_.set_inspection(
            folder, inspect_demo_sample(*model, *tokenizer_, plan_, options_.seed, [](std::int64_t) {}, stop_));
      }
    } catch (const Interrupted&) {
      return false;
    }
    for (const DemoLengthPlan& length : plan_.lengths) {
      const DemoLength result = demo_length_result(state_, plan_, length, folder);
      print_message("      {:>7} tokens  {:>5} right of {}\n", group_digits(result.length_tokens),
                    percent_text(result.accuracy()), result.num_samples);
    }
    return true;
  }

  void measure_cells(const char* folder, Model& model) {
    const std::vector<Task> tasks = open_tasks(folder);
    double all_tokens = 0;
    for (const Task& task : tasks) all_tokens += static_cast<double>(task.tokens);
    std::mutex mutex;  // of all below
    double tokens_read = 0;
    std::size_t num_done = 0;
    ProgressLine line;
    run_on_threads(options_.threads, tasks.size(), [&](std::size_t i) {
      const Task& task = tasks[i];
      const ProgressLine clock(true);
      const auto on_tokens = [&](std::int64_t num_tokens) {
        const std::lock_guard lock(mutex);
        tokens_read += static_cast<double>(num_tokens);
        line.show(fmt::format("{} of {} tokens read, {} of {} cells, {} tokens/s, ETA {}", format_count(tokens_read),
                              format_count(all_tokens), num_done, tasks.size(),
                              format_count(tokens_read / line.elapsed_seconds()),
                              eta_text(tokens_read, all_tokens, line.elapsed_seconds())));
      };
      const DemoCell cell =
          evaluate_demo_cell(model, *tokenizer_, plan_, task.length, task.depth_index, options_.seed, on_tokens, stop_);
      const std::lock_guard lock(mutex);
      state_.set_cell(folder, task.length.num_chunks, task.depth_index, {cell, clock.elapsed_seconds()});
      ++num_done;
    });
  }

  DemoOptions options_;
  StopToken stop_;
  std::unique_ptr<Tokenizer> tokenizer_;
  DemoPlan plan_;
  DemoState state_;
};

}  // namespace

std::optional<DemoReport> run_demo(const DemoOptions& options, const StopToken& stop) {
  return Demo(options, stop).run();
}

}  // namespace lookback
