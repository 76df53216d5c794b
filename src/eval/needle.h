// Needle in a haystack: exact match of greedy answers and the retriever's own accuracy, by length and depth.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/json.h"
#include "core/stop.h"
#include "data/needle_task.h"
#include "eval/wilson.h"
#include "models/model.h"
#include "models/prefill.h"

namespace lookback {

struct NeedleEvaluationConfig {
  NeedleTask task;                    // its length and depth are replaced by those below
  std::vector<std::int64_t> lengths;  // tokens
  std::vector<double> depths;         // 0 to 1
  std::int64_t num_samples = 20;      // a cell
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

// What a model says to some samples.
struct NeedleAnswers {
  std::vector<bool> correct;
  std::vector<std::vector<Retrieval>> retrievals;  // [sample][group], in effect for the first answer token
  double first_token_seconds = 0;                  // from the prompt to the first answer token
};

// Greedy decoding gives the answer exactly when each of its tokens is the most probable one after those before it: one
// step of the answer decides it. Samples are of one length.
NeedleAnswers ask_needles(const Model& model, const std::vector<NeedleSample>& samples, at::ScalarType dtype,
                          const PrefillOptions& options, const std::shared_ptr<const MemorySet>& memories);

// Adds them to a cell.
void count_needle_answers(const NeedleAnswers& answers, const std::vector<NeedleSample>& samples,
                          std::int64_t chunk_size, NeedleCell& cell);

struct NeedleEvaluation {
  std::vector<NeedleCell> cells;  // [length][depth] in one row
  bool complete = true;           // false: interrupted, later cells have fewer samples
};

// Called between segments with what was done of all prompts' tokens.
using NeedleProgress = std::function<void(double done_tokens, double total_tokens)>;

// Asks every cell the same number of samples. A sample depends on task, length, depth, its number, the seed and the
// haystack only: models with the same chunk size are asked the same. Asked to stop between segments, it
// ends with what it has. Throws Error for cells without room before the first is asked.
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
