// Needle in a haystack: exact match of greedy answers and the retriever's own accuracy, by length and depth.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/json.h"
#include "data/needle_task.h"
#include "eval/wilson.h"
#include "lookback/stop.h"
#include "models/model.h"
#include "retrieval/memory_set.h"

namespace lookback {

struct NeedleEvaluationConfig {
  NeedleTask task;                    // its length and depth are replaced by those below
  std::vector<std::int64_t> lengths;  // tokens
  std::vector<double> depths = {0, 0.25, 0.5, 0.75, 1};
  std::int64_t num_samples = 20;  // a cell
  std::uint64_t seed = 0;
  at::ScalarType dtype = at::kFloat;
  std::int64_t segment_tokens = 4096;
  std::int64_t most_tokens_at_once = 65536;  // samples of one cell share a batch up to this many tokens
};

// How often one upper group's retrieval, in effect at the answer, held a chunk of one needle.
struct NeedleRecall {
  std::int64_t num_recalled = 0;
  // Over the samples, of the best-scored of the needle's chunks; 1 is first. NaN where not all scores are computed.
  double rank_sum = 0;
};

struct NeedleCell {
  std::int64_t length = 0;
  double depth = 0;  // as asked for
  std::int64_t num_samples = 0;
  std::int64_t num_correct = 0;                   // all answer tokens right
  std::vector<std::vector<NeedleRecall>> recall;  // [group][hop]; empty for models that retrieve nothing

  double accuracy() const;  // NaN without samples
  Interval interval() const { return wilson_interval(num_correct, num_samples); }
};

// How samples are asked.
struct NeedleQuestioning {
  at::ScalarType dtype = at::kFloat;
  std::int64_t segment_tokens = 4096;         // of all prompts together, read in one step
  std::shared_ptr<const MemorySet> memories;  // which the texts retrieve from; nullptr: none
  // Called after each segment with the number of all prompts' tokens that were read.
  std::function<void(std::int64_t num_tokens)> on_progress;
  StopToken stop;  // asked between steps
};

// What a model says to a sample.
struct NeedleAnswer {
  std::vector<std::int64_t> ids;  // the most probable ones, as many as the answer has; none when it was stopped before
  std::vector<Retrieval> retrievals;  // of each group, in effect for the first of them
  double first_token_seconds = 0;     // from when it was asked
};

// Asks all samples side by side. Asked to stop, it ends with what was answered.
std::vector<NeedleAnswer> ask_needles(const Model& model, const std::vector<NeedleSample>& samples,
                                      const NeedleQuestioning& questioning);

// Adds an answer to a sample's cell.
void count_needle_answer(const NeedleAnswer& answer, const NeedleSample& sample, std::int64_t chunk_size,
                         NeedleCell& cell);

struct NeedleEvaluation {
  std::vector<NeedleCell> cells;  // [length][depth] in one row
  bool complete = true;           // false: interrupted, later cells have fewer samples
};

// Called after each segment with what was done of all prompts' tokens.
using NeedleProgress = std::function<void(double done_tokens, double total_tokens)>;

// Asks every cell the same number of samples. A sample depends on task, length, depth, its number, the seed and the
// haystack only: models with the same chunk size are asked the same. Asked to stop, it ends with the
// answers that it has. Throws Error for cells without room before the first is asked.
NeedleEvaluation evaluate_needles(const Model& model, const Tokenizer& tokenizer,
                                  std::span<const std::int64_t> haystack, const NeedleEvaluationConfig& config,
                                  const NeedleProgress& on_progress, const StopToken& stop = {});

// Cells, sums by length and by depth, for machines.
void add_cells(const NeedleEvaluation& evaluation, const std::vector<std::int64_t>& lengths,
               const std::vector<double>& depths, Json& json);

// The cells of one length (depths of one depth) together.
NeedleCell sum_of_length(const NeedleEvaluation& evaluation, std::int64_t length);
NeedleCell sum_of_depth(const NeedleEvaluation& evaluation, double depth);

// Everything, for machines: the task, the seed, cells with intervals, recall and mean rank, sums.
Json to_json(const NeedleEvaluation& evaluation, const NeedleEvaluationConfig& config);

}  // namespace lookback
