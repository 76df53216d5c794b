// [finetune] of a run's configuration: needle tasks or summaries. Stages of `lookback train` take needles from it, too.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/needle_task.h"

namespace lookback {

// Answers are learned as well with as without, and the model goes on learning its text (docs/finetuning.md).
inline constexpr double default_needle_text_weight = 0.5;

// What a model is finetuned on.
struct FinetuneConfig {
  std::vector<std::string> tasks;     // needle tasks, or "summarize" alone; none: the run is one of `lookback train`
  std::vector<std::int64_t> lengths;  // tokens of a sample; of summarize one: the most
  double text_weight = 0;             // of the loss on all tokens, beside that on the answers (data/answer_batch.h)
  std::int64_t num_needles = 6;       // of recipe, as num_empty_chunks (data/needle_task.h)
  std::int64_t num_empty_chunks = 0;

  bool summarizes() const { return tasks == std::vector<std::string>{"summarize"}; }
};

// Calls visit(key, member) for every key.
template <typename Config, typename Visitor>
void visit_finetune_keys(Config& config, Visitor&& visit) {
  visit("tasks", config.tasks);
  visit("lengths", config.lengths);
  visit("text_weight", config.text_weight);
  visit("num_needles", config.num_needles);
  visit("num_empty_chunks", config.num_empty_chunks);
}

// Throws Error naming `source` and the first key that is missing, out of range or does not fit the others.
void check_finetune_config(const FinetuneConfig& config, const std::string& source);

// Each of the tasks in each of the lengths, which are not summaries. chunk_size: the model's.
std::vector<NeedleTask> needle_tasks(const FinetuneConfig& config, std::int64_t chunk_size);

}  // namespace lookback
