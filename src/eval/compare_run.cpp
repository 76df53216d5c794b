#include "eval/compare_run.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "core/error.h"
#include "core/files.h"
#include "core/json_lines.h"
#include "core/stored_text.h"
#include "core/worker_threads.h"
#include "train/toml.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

constexpr int interrupted_exit_code = 130;

std::string run_name(const CompareModel& model, std::int64_t seed) {
  return fmt::format("{}-seed{}", model.name, seed);
}

fs::path result_path(const fs::path& out, const std::string& run, const std::string& step) {
  return out / "results" / fmt::format("{}.{}.json", run, step);
}

fs::path prompt_path(const CompareSetting& setting) {
  return setting.out / fmt::format("prompt-{}.json", setting.prompt_ids.size());
}

struct Step {
  std::string name;
  std::vector<std::string> settings;   // a result of others is measured again
  std::vector<std::string> arguments;  // of this program, besides
};

std::size_t steps_a_run(const ComparePlan& plan) { return plan.needles ? 5 : 3; }

// Training further on needles, and asking for them.
std::vector<Step> needle_steps(const NeedlePlan& plan, const fs::path& out, const std::string& run) {
  const fs::path finetuned = out / "finetuned" / run;
  std::vector<std::string> from = {"--model", (out / "runs" / run).string(), "--out", finetuned.string()};
  if (fs::exists(finetuned / "config.toml")) from.emplace_back("--resume");
  return {
      {"finetune",
       {"finetune", "--task", plan.task, "--steps", std::to_string(plan.steps), "--lr", fmt::format("{}", plan.lr),
        "--batch-size", std::to_string(plan.batch_size), "--length", plan.train_lengths},
       from},
      {"needles",
       {"eval", "needle", "--task", plan.task, "--lengths", plan.lengths, "--samples", std::to_string(plan.samples)},
       {"--model", finetuned.string(), "--json"}}};
}

std::vector<Step> steps_of(const ComparePlan& plan, const CompareSetting& setting, const CompareModel& model,
                           std::int64_t seed, const std::string& device) {
  const fs::path run = setting.out / "runs" / run_name(model, seed);
  std::vector<std::string> train = {"--out", run.string()};
  if (fs::exists(run / "config.toml")) {
    train.emplace_back("--resume");
  } else {
    const std::string config = (setting.out / "configs" / (model.name + ".toml")).string();
    train.insert(train.end(), {"--config", config, "--data", setting.data, "--valid", setting.valid, "--seed",
                               std::to_string(seed)});
  }
  const std::vector<std::string> of_run = {"--model", run.string(), "--json"};
  std::vector<Step> steps = {{"train", {"train"}, train},
                             {"perplexity",
                              {"eval", "perplexity", "--data", setting.valid, "--context",
                               model.contexts.empty() ? plan.contexts : model.contexts, "--max-tokens", plan.max_tokens,
                               "--max-document-tokens", plan.max_document_tokens},
                              of_run},
                             {"speed",
                              {"generate", "--prompt-ids", prompt_path(setting).string(), "--max-new-tokens",
                               std::to_string(plan.new_tokens), "--greedy", "--ignore-end-of-text"},
                              of_run}};
  if (plan.needles) {
    for (Step& step : needle_steps(*plan.needles, setting.out, run_name(model, seed))) steps.push_back(std::move(step));
  }
  for (Step& step : steps) {
    std::vector<std::string>& arguments = step.arguments;
    if (step.name != "train" && step.name != "finetune" && setting.threads > 0) {
      arguments.insert(arguments.end(), {"--threads", std::to_string(setting.threads)});
    }
    if (!device.empty()) arguments.insert(arguments.end(), {"--device", device});
    // The live lines of several would be written over each other.
    if (setting.devices.size() > 1) arguments.emplace_back("--quiet");
  }
  return steps;
}

// A model may leave the plan and come back: what it was trained with stays in its file.
void check_same_training(const CompareModel& model, const fs::path& config, const fs::path& out) {
  require(!fs::exists(config) || read_file(config) == dump_toml(model.run),
          "{}: holds a model {} that was trained otherwise: give it another name, or choose another --out",
          out.string(), model.name);
}

void write_plan(const ComparePlan& plan, const CompareSetting& setting) {
  const fs::path path = setting.out / "compare.json";
  if (fs::exists(path)) {
    const Json earlier = read_json_file(path);
    const std::string data = bytes_of_stored_text(json_field<std::string>(earlier, "data", path.string()));
    const std::string valid = bytes_of_stored_text(json_field<std::string>(earlier, "valid", path.string()));
    require(data == setting.data && valid == setting.valid,
            "{}: holds a comparison on other data ({}, {}): choose another --out", setting.out.string(), data, valid);
  }
  fs::create_directories(setting.out / "configs");
  fs::create_directories(setting.out / "runs");
  fs::create_directories(setting.out / "results");
  const auto config_of = [&](const CompareModel& model) { return setting.out / "configs" / (model.name + ".toml"); };
  for (const CompareModel& model : plan.models) check_same_training(model, config_of(model), setting.out);
  for (const CompareModel& model : plan.models) write_file_atomic(config_of(model), dump_toml(model.run));
  write_json_file(prompt_path(setting), {{"ids", setting.prompt_ids}});
  write_json_file(
      path, {{"data", stored_text(setting.data)}, {"valid", stored_text(setting.valid)}, {"plan", to_json(plan)}});
}

bool is_done(const Step& step, const fs::path& result) {
  if (!fs::exists(result)) return false;
  // As it was written: a path in it may be no UTF-8.
  const Json wanted = parse_json(dump_line(step.settings), result.string());
  return json_field<Json>(read_json_file(result), "settings", result.string()) == wanted;
}

// Whether the step came to its end.
bool do_step(const Step& step, const fs::path& result, const CompareSetting& setting, const CompareListener& listener) {
  std::vector<std::string> command = {setting.program};
  command.insert(command.end(), step.settings.begin(), step.settings.end());
  command.insert(command.end(), step.arguments.begin(), step.arguments.end());
  const ProcessResult process = listener.run(command);
  if (process.exit_code == interrupted_exit_code) return false;
  const std::string line = fmt::format("{}", fmt::join(command, " "));
  require(process.exit_code == 0, "this command failed (exit code {}); the same comparison goes on with it:\n  {}",
          process.exit_code, line);
  const bool is_json = step.name != "train" && step.name != "finetune";
  write_json_file(result, {{"command", line},
                           {"settings", step.settings},
                           {"seconds", process.seconds},
                           {"peak_resident_bytes", process.peak_resident_bytes},
                           {"output", is_json ? parse_json(process.output, line) : Json(process.output)}});
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
    for (const Step& step : steps_of(plan_, setting_, *run.model, run.seed, device)) {
      ++number;
      const fs::path result = result_path(setting_.out, name, step.name);
      if (is_done(step, result)) continue;
      if (!begin_step(
              fmt::format("{}: {} (step {} of {})", name, step.name, number, runs_.size() * steps_a_run(plan_))))
        break;
      if (!do_step(step, result, setting_, listener_)) stopped_ = true;
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
