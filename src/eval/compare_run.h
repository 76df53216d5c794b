// A comparison on disk: what is done of it, and what comes next. Each step is a call of this program, so each has a
// process, a peak memory and a command line of its own, and can be done again by hand.
//
//   OUT/compare.json                     the plan, against being mixed up with another
//   OUT/configs/NAME.toml                each model's run configuration
//   OUT/prompt.json                      the text that is read for the speeds
//   OUT/runs/NAME-seedN/                 run folders of `lookback train`
//   OUT/results/NAME-seedN.STEP.json     what a finished step gave
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/json.h"
#include "core/process.h"
#include "eval/compare_plan.h"

namespace lookback {

struct CompareSetting {
  std::filesystem::path out;
  std::string data;   // prepared text to train on
  std::string valid;  // and to measure on
  std::vector<std::int64_t> prompt_ids;
  std::string program;  // this one
  int threads = 0;      // of evaluation; 0: one a core
};

// Of one model and seed.
struct CompareResult {
  std::string model;
  std::int64_t seed = 0;
  Json train, perplexity, speed;  // {"command", "seconds", "peak_resident_bytes", "output"}; null: not there yet
  Json metrics;                   // of training: a list of its metrics.jsonl
};

struct CompareListener {
  std::function<ProcessResult(const std::vector<std::string>&)> run = run_process;
  std::function<void(const std::string&)> begins;  // "drt, seed 1: train (3 of 12)"
  std::function<bool()> stop;                      // asked between steps
};

// Writes the plan and does all steps that are not done. Returns whether it came to the end (else: it was stopped, and
// the same call goes on). Throws Error for a folder that holds another comparison, and for a step that fails, naming
// its command.
bool run_compare(const ComparePlan& plan, const CompareSetting& setting, const CompareListener& listener);

// What there is, in the plan's order. Throws Error for files that are damaged.
std::vector<CompareResult> read_compare_results(const ComparePlan& plan, const std::filesystem::path& out);

}  // namespace lookback
