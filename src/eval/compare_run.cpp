#include "eval/compare_run.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <sstream>

#include "core/error.h"
#include "core/files.h"
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

struct Step {
  std::string name;
  std::vector<std::string> arguments;  // of this program
};

constexpr std::size_t steps_a_run = 3;
std::vector<Step> steps_of(const ComparePlan& plan, const CompareSetting& setting, const CompareModel& model,
                           std::int64_t seed) {
  const fs::path run = setting.out / "runs" / run_name(model, seed);
  std::vector<std::string> train = {"train", "--out", run.string()};
  if (fs::exists(run / "config.toml")) {
    train.emplace_back("--resume");
  } else {
    const std::string config = (setting.out / "configs" / (model.name + ".toml")).string();
    train.insert(train.end(), {"--config", config, "--data", setting.data, "--valid", setting.valid, "--seed",
                               std::to_string(seed)});
  }
  std::vector<Step> steps = {
      {"train", train},
      {"perplexity",
       {"eval", "perplexity", "--model", run.string(), "--data", setting.valid, "--context", plan.contexts,
        "--max-tokens", plan.max_tokens, "--json"}},
      {"speed",
       {"generate", "--model", run.string(), "--prompt-ids", (setting.out / "prompt.json").string(), "--max-new-tokens",
        std::to_string(plan.new_tokens), "--greedy", "--ignore-end-of-text", "--json"}}};
  if (setting.threads > 0) {
    for (std::size_t i = 1; i < steps.size(); ++i) {
      steps[i].arguments.insert(steps[i].arguments.end(), {"--threads", std::to_string(setting.threads)});
    }
  }
  return steps;
}

void write_plan(const ComparePlan& plan, const CompareSetting& setting) {
  const Json wanted = {{"data", setting.data}, {"valid", setting.valid}, {"plan", to_json(plan)}};
  const fs::path path = setting.out / "compare.json";
  if (fs::exists(path)) {
    require(read_json_file(path) == wanted,
            "{}: holds another comparison (other models, settings or data): choose another --out",
            setting.out.string());
    return;
  }
  fs::create_directories(setting.out / "configs");
  fs::create_directories(setting.out / "runs");
  fs::create_directories(setting.out / "results");
  for (const CompareModel& model : plan.models) {
    write_file_atomic(setting.out / "configs" / (model.name + ".toml"), dump_toml(model.run));
  }
  write_json_file(setting.out / "prompt.json", {{"ids", setting.prompt_ids}});
  // Last: without it, the next call begins anew.
  write_json_file(path, wanted);
}

// Whether the step came to its end.
bool do_step(const Step& step, const fs::path& result, const CompareSetting& setting, const CompareListener& listener) {
  std::vector<std::string> command = {setting.program};
  command.insert(command.end(), step.arguments.begin(), step.arguments.end());
  const ProcessResult process = listener.run(command);
  if (process.exit_code == interrupted_exit_code) return false;
  const std::string line = fmt::format("{}", fmt::join(command, " "));
  require(process.exit_code == 0, "this command failed (exit code {}); the same comparison goes on with it:\n  {}",
          process.exit_code, line);
  const bool is_json = step.name != "train";
  write_json_file(result, {{"command", line},
                           {"seconds", process.seconds},
                           {"peak_resident_bytes", process.peak_resident_bytes},
                           {"output", is_json ? parse_json(process.output, line) : Json(process.output)}});
  return true;
}

Json read_if_there(const fs::path& path) { return fs::exists(path) ? read_json_file(path) : Json(nullptr); }

Json read_lines(const fs::path& path) {
  Json list = Json::array();
  if (!fs::exists(path)) return list;
  std::istringstream lines(read_file(path));
  std::string line;
  while (std::getline(lines, line)) list.push_back(parse_json(line, path.string()));
  return list;
}

}  // namespace

bool run_compare(const ComparePlan& plan, const CompareSetting& setting, const CompareListener& listener) {
  fs::create_directories(setting.out);
  write_plan(plan, setting);
  std::size_t num_steps = 0;
  for (const CompareModel& model : plan.models) num_steps += steps_a_run * model.seeds.size();
  std::size_t number = 0;
  // Seed by seed, so that a comparison that is stopped has something of every model.
  std::size_t most_seeds = 0;
  for (const CompareModel& model : plan.models) most_seeds = std::max(most_seeds, model.seeds.size());
  for (std::size_t s = 0; s < most_seeds; ++s) {
    for (const CompareModel& model : plan.models) {
      if (s >= model.seeds.size()) continue;
      const std::string run = run_name(model, model.seeds[s]);
      for (const Step& step : steps_of(plan, setting, model, model.seeds[s])) {
        ++number;
        const fs::path result = result_path(setting.out, run, step.name);
        if (fs::exists(result)) continue;
        if (listener.stop && listener.stop()) return false;
        if (listener.begins) listener.begins(fmt::format("{}: {} (step {} of {})", run, step.name, number, num_steps));
        if (!do_step(step, result, setting, listener)) return false;
      }
    }
  }
  return true;
}

std::vector<CompareResult> read_compare_results(const ComparePlan& plan, const fs::path& out) {
  std::vector<CompareResult> results;
  for (const CompareModel& model : plan.models) {
    for (const std::int64_t seed : model.seeds) {
      const std::string run = run_name(model, seed);
      results.push_back({model.name, seed, read_if_there(result_path(out, run, "train")),
                         read_if_there(result_path(out, run, "perplexity")),
                         read_if_there(result_path(out, run, "speed")),
                         read_lines(out / "runs" / run / "metrics.jsonl")});
    }
  }
  return results;
}

}  // namespace lookback
