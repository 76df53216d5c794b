#include "eval/compare_run.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "core/error.h"
#include "core/files.h"
#include "core/interrupt.h"
#include "core/json_lines.h"
#include "core/stored_text.h"
#include "core/worker_threads.h"
#include "eval/compare_step.h"
#include "train/toml.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

std::string run_name(const CompareModel& model, std::int64_t seed) {
  return fmt::format("{}-seed{}", model.name, seed);
}

std::string file_name(const std::string& run, const std::string& step) { return fmt::format("{}.{}.json", run, step); }

fs::path result_path(const fs::path& out, const std::string& run, const std::string& step) {
  return out / "results" / file_name(run, step);
}

fs::path prompt_path(const CompareSetting& setting) {
  return setting.out / fmt::format("prompt-{}.json", setting.prompt_ids.size());
}

std::size_t steps_a_run(const ComparePlan& plan) { return plan.needles ? 5 : 3; }

std::vector<CompareStep> steps_of(const ComparePlan& plan, const CompareSetting& setting, const CompareModel& model,
                                  std::int64_t seed, const std::string& device) {
  const std::string name = run_name(model, seed);
  const fs::path run = setting.out / "runs" / name;
  const fs::path finetuned = setting.out / "finetuned" / name;
  std::vector<CompareStep> steps(3);
  steps[0].work = TrainStep{setting.out / "configs" / (model.name + ".toml"), setting.data, setting.valid, seed, run};
  steps[1].work = PerplexityStep{run, setting.valid, model.contexts.empty() ? plan.contexts : model.contexts,
                                 plan.max_tokens, plan.max_document_tokens};
  steps[2].work = SpeedStep{run, prompt_path(setting), plan.new_tokens};
  if (plan.needles) {
    const NeedlePlan& needles = *plan.needles;
    steps.emplace_back().work = FinetuneStep{run,           finetuned,  needles.task,      needles.train_lengths,
                                             needles.steps, needles.lr, needles.batch_size};
    steps.emplace_back().work = NeedlesStep{finetuned, needles.task, needles.lengths, needles.samples};
  }
  for (CompareStep& step : steps) {
    step.device = device;
    step.threads = setting.threads;
    // The live lines of several would be written over each other.
    step.quiet = setting.devices.size() > 1;
  }
  return steps;
}

// A model may leave the plan and come back: what it was trained with stays in its file.
void check_same_training(const CompareModel& model, const fs::path& config, const fs::path& out) {
  require(!fs::exists(config) || read_file(config) == dump_toml(model.run),
          "{}: holds a model {} that was trained otherwise: give it another name, or choose another output folder",
          out.string(), model.name);
}

void write_plan(const ComparePlan& plan, const CompareSetting& setting) {
  const fs::path path = setting.out / "compare.json";
  if (fs::exists(path)) {
    const Json earlier = read_json_file(path);
    const std::string data = bytes_of_stored_text(json_field<std::string>(earlier, "data", path.string()));
    const std::string valid = bytes_of_stored_text(json_field<std::string>(earlier, "valid", path.string()));
    require(data == setting.data && valid == setting.valid,
            "{}: holds a comparison on other data ({}, {}): choose another output folder", setting.out.string(), data,
            valid);
  }
  fs::create_directories(setting.out / "configs");
  fs::create_directories(setting.out / "runs");
  fs::create_directories(setting.out / "steps");
  fs::create_directories(setting.out / "results");
  const auto config_of = [&](const CompareModel& model) { return setting.out / "configs" / (model.name + ".toml"); };
  for (const CompareModel& model : plan.models) check_same_training(model, config_of(model), setting.out);
  for (const CompareModel& model : plan.models) write_file_atomic(config_of(model), dump_toml(model.run));
  write_json_file(prompt_path(setting), {{"ids", setting.prompt_ids}});
  write_json_file(
      path, {{"data", stored_text(setting.data)}, {"valid", stored_text(setting.valid)}, {"plan", to_json(plan)}});
}

bool is_done(const CompareStep& step, const fs::path& result) {
  return fs::exists(result) &&
         has_settings(step, json_field<Json>(read_json_file(result), "settings", result.string()));
}

// Whether the step came to its end.
bool run_step(const CompareStep& step, const std::string& run, const CompareSetting& setting,
              const CompareListener& listener) {
  const fs::path file = setting.out / "steps" / file_name(run, step_name(step));
  write_json_file(file, to_json(step));
  std::vector<std::string> command = setting.step_command;
  command.push_back(file.string());
  const ProcessResult process = listener.run(command);
  if (process.exit_code == exit_interrupted) return false;
  const std::string line = fmt::format("{}", fmt::join(command, " "));
  require(process.exit_code == 0, "this command failed (exit code {}); the same comparison goes on with it:\n  {}",
          process.exit_code, line);
  write_json_file(result_path(setting.out, run, step_name(step)), {{"command", line},
                                                                   {"settings", settings_of(step)},
                                                                   {"seconds", process.seconds},
                                                                   {"peak_resident_bytes", process.peak_resident_bytes},
                                                                   {"output", parse_json(process.output, line)}});
  return true;
}

struct Run {
  const CompareModel* model;
  std::int64_t seed;
};

// Seed by seed, so that a comparison that is stopped has something of every model.
std::vector<Run> runs_of(const ComparePlan& plan) {
  std::vector<Run> runs;
  std::size_t most_seeds = 0;
  for (const CompareModel& model : plan.models) most_seeds = std::max(most_seeds, model.seeds.size());
  for (std::size_t s = 0; s < most_seeds; ++s) {
    for (const CompareModel& model : plan.models) {
      if (s < model.seeds.size()) runs.push_back({&model, model.seeds[s]});
    }
  }
  return runs;
}

// Does the steps of all runs, one run a device at a time.
class CompareSteps {
 public:
  CompareSteps(const ComparePlan& plan, const CompareSetting& setting, const CompareListener& listener)
      : plan_(plan), setting_(setting), listener_(listener), runs_(runs_of(plan)), free_devices_(setting.devices) {
    if (free_devices_.empty()) free_devices_.emplace_back();
  }

  bool run() {
    run_on_threads(static_cast<int>(free_devices_.size()), runs_.size(), [this](std::size_t i) { run_one(i); });
    return !stopped_;
  }

 private:
  void run_one(std::size_t index) {
    const std::string device = take_device();
    const Run& run = runs_[index];
    const std::string name = run_name(*run.model, run.seed);
    std::size_t number = index * steps_a_run(plan_);
    for (const CompareStep& step : steps_of(plan_, setting_, *run.model, run.seed, device)) {
      ++number;
      if (is_done(step, result_path(setting_.out, name, step_name(step)))) continue;
      if (!begin_step(
              fmt::format("{}: {} (step {} of {})", name, step_name(step), number, runs_.size() * steps_a_run(plan_))))
        break;
      if (!run_step(step, name, setting_, listener_)) stopped_ = true;
    }
    const std::lock_guard lock(mutex_);
    free_devices_.push_back(device);
  }

  std::string take_device() {
    const std::lock_guard lock(mutex_);
    std::string device = free_devices_.front();
    free_devices_.erase(free_devices_.begin());
    return device;
  }

  // Whether it may.
  bool begin_step(const std::string& text) {
    const std::lock_guard lock(mutex_);
    if (listener_.stop.stop_requested()) stopped_ = true;
    if (stopped_) return false;
    if (listener_.begins) listener_.begins(text);
    return true;
  }

  const ComparePlan& plan_;
  const CompareSetting& setting_;
  const CompareListener& listener_;
  const std::vector<Run> runs_;
  std::mutex mutex_;
  std::vector<std::string> free_devices_;  // as many as there are threads
  std::atomic<bool> stopped_ = false;
};

Json read_if_there(const fs::path& path) { return fs::exists(path) ? read_json_file(path) : Json(nullptr); }

Json read_lines(const fs::path& path) {
  Json list = Json::array();
  if (!fs::exists(path)) return list;
  visit_json_lines(read_file(path), path.string(), [&](const Json& line, const std::string&) { list.push_back(line); });
  return list;
}

}  // namespace

bool run_compare(const ComparePlan& plan, const CompareSetting& setting, const CompareListener& listener) {
  fs::create_directories(setting.out);
  write_plan(plan, setting);
  return CompareSteps(plan, setting, listener).run();
}

bool is_complete(const ComparePlan& plan, const std::vector<CompareResult>& results) {
  return std::ranges::none_of(results, [&](const CompareResult& one) {
    const bool no_needles = one.finetune.is_null() || one.needles.is_null();
    return one.train.is_null() || one.perplexity.is_null() || one.speed.is_null() || (plan.needles && no_needles);
  });
}

std::vector<CompareResult> read_compare_results(const ComparePlan& plan, const fs::path& out) {
  std::vector<CompareResult> results;
  for (const CompareModel& model : plan.models) {
    for (const std::int64_t seed : model.seeds) {
      const std::string run = run_name(model, seed);
      results.push_back(
          {model.name, seed, read_if_there(result_path(out, run, "train")),
           read_if_there(result_path(out, run, "perplexity")), read_if_there(result_path(out, run, "speed")),
           read_if_there(result_path(out, run, "finetune")), read_if_there(result_path(out, run, "needles")),
           read_lines(out / "runs" / run / "metrics.jsonl")});
    }
  }
  return results;
}

}  // namespace lookback
