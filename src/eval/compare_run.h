// A comparison on disk: what is done of it, and what comes next. Each step has a process of its own, so that it has a
// peak memory of its own and takes no other with it when it crashes, and can be done again by hand.
//
//   OUT/compare.json                     the data and the plan
//   OUT/configs/NAME.toml                each model's run configuration
//   OUT/prompt-N.json                    the text of N tokens that is read for the speeds
//   OUT/runs/NAME-seedN/                 run folders of training
//   OUT/finetuned/NAME-seedN/            run folders of training further, where the plan asks for needles
//   OUT/steps/NAME-seedN.STEP.json       a step that was begun (compare_step.h)
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
#include "lookback/stop.h"

namespace lookback {

struct CompareSetting {
  std::filesystem::path out;
  std::string data;   // prepared text to train on
  std::string valid;  // and to measure on
  std::vector<std::int64_t> prompt_ids;
  std::vector<std::string> step_command;  // that does the step in the file which is added to it
  int threads = 0;                        // of evaluation; 0: one a core
  // One run at a time on each, such as {"cuda:0", "cuda:1"}; what is named twice gets two. Empty: one run at a time,
  // where its configuration says.
  std::vector<std::string> devices = {};
};

// Of one model and seed.
struct CompareResult {
  std::string model;
  std::int64_t seed = 0;
  // {"command", "settings", "seconds", "peak_resident_bytes", "output"}; null: not there yet.
  Json train, perplexity, speed, finetune, needles;
  Json metrics;  // of training: a list of its metrics.jsonl
};

// With several devices, `run` is called from several threads at once.
struct CompareListener {
  std::function<ProcessResult(const std::vector<std::string>&)> run = run_process;
  std::function<void(const std::string&)> begins;  // "drt, seed 1: train (3 of 12)"
  StopToken stop;                                  // asked between steps
};

// Writes the plan and does all steps that are not done. Returns whether it came to the end (else: it was stopped, and
// the same call goes on). A folder's plan may change between calls: models and seeds that are new are trained, what is
// measured otherwise is measured again. Throws Error for a folder whose models were trained otherwise or on other data,
// and for a step that fails, naming its command.
bool run_compare(const ComparePlan& plan, const CompareSetting& setting, const CompareListener& listener);

// Whether there is a result of every step.
bool is_complete(const ComparePlan& plan, const std::vector<CompareResult>& results);

// What there is, in the plan's order. Throws Error for files that are damaged.
std::vector<CompareResult> read_compare_results(const ComparePlan& plan, const std::filesystem::path& out);

}  // namespace lookback
