// One step of a comparison: a value, kept in a file so that a process of its own can do it, and the work itself.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <variant>

#include "core/json.h"
#include "lookback/stop.h"

namespace lookback {

struct TrainStep {
  std::filesystem::path config, data, valid;  // of a run that begins; one that is in `out` goes on as it began
  std::int64_t seed = 0;
  std::filesystem::path out;
};

// Lists and sizes are as people write them ("1K,4K,full").
struct PerplexityStep {
  std::filesystem::path model, data;
  std::string contexts, max_tokens, max_document_tokens;
};

// Reads a prompt, writes new_tokens greedily.
struct SpeedStep {
  std::filesystem::path model, prompt;  // prompt: {"ids": [...]}
  std::int64_t new_tokens = 0;
};

// On needles; a run that is in `out` goes on.
struct FinetuneStep {
  std::filesystem::path model, out;
  std::string task, lengths;
  std::int64_t steps = 0;
  double lr = 0;
  std::int64_t batch_size = 0;
};

struct NeedlesStep {
  std::filesystem::path model;
  std::string task, lengths;
  std::int64_t samples = 0;
};

struct CompareStep {
  std::variant<TrainStep, PerplexityStep, SpeedStep, FinetuneStep, NeedlesStep> work;
  std::string device;  // empty: the run's own where it trains, else the CPU
  int threads = 0;     // of what measures; 0: one a core
  bool quiet = false;  // no progress line
};

// "train", "perplexity", "speed", "finetune", "needles".
std::string step_name(const CompareStep& step);

// What decides the result, as it stands in the result's file.
Json settings_of(const CompareStep& step);
// Whether a result with the settings `found` is one of this step; also of results from before steps were values, which
// hold the flags of the command that was called.
bool has_settings(const CompareStep& step, const Json& found);

Json to_json(const CompareStep& step);
// What to_json made, read from `source`. Throws Error naming it and what is missing or of another type.
CompareStep parse_compare_step(const Json& value, const std::string& source);

// Whom to tell; each may be empty.
struct CompareStepListener {
  std::function<void(const std::string&)> on_warning;  // of what will be slow
  std::function<void(const std::string&)> on_note;     // lines for people
};

// Does the work and returns what came out: of training to_json(TrainResult), of measuring what `eval perplexity`,
// `generate` and `eval needle` print as JSON. Asked to stop, training saves a checkpoint and measuring returns what it
// has. Sets the number of threads of tensor operations in the whole process. Throws Error as these do.
Json do_compare_step(const CompareStep& step, const CompareStepListener& listener, const StopToken& stop);

}  // namespace lookback
