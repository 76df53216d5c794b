#include "eval/needle.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "core/clock.h"
#include "core/error.h"
#include "core/random.h"
#include "generate/engine.h"

namespace lookback {
namespace {

// scores [E] (undefined: not known), indices [K] of one sample: was any chunk of [first, last] retrieved, and the rank
// of its best.
void count_recall(const at::Tensor& scores, const at::Tensor& indices, std::int64_t first, std::int64_t last,
                  NeedleRecall& recall) {
  recall.num_recalled += indices.ge(first).logical_and(indices.le(last)).any().item<bool>() ? 1 : 0;
  if (!scores.defined()) {
    recall.rank_sum = std::numeric_limits<double>::quiet_NaN();
    return;
  }
  const at::Tensor best = scores.narrow(0, first, last - first + 1).max();
  recall.rank_sum += 1.0 + static_cast<double>(scores.gt(best).sum().item<std::int64_t>());
}

// Streams of one seed: a sample's does not depend on what else is asked.
Random random_of_sample(std::uint64_t seed, std::int64_t length, double depth, std::int64_t sample) {
  const auto per_mille = static_cast<std::uint64_t>(std::llround(depth * 1000.0));
  const std::uint64_t cell = static_cast<std::uint64_t>(length) * 1024U + per_mille;
  return Random(seed, cell * 1'000'003U + static_cast<std::uint64_t>(sample));
}

void add(const NeedleCell& cell, NeedleCell& sum) {
  sum.num_samples += cell.num_samples;
  sum.num_correct += cell.num_correct;
  sum.recall.resize(std::max(sum.recall.size(), cell.recall.size()));
  for (std::size_t group = 0; group < cell.recall.size(); ++group) {
    sum.recall[group].resize(cell.recall[group].size());
    for (std::size_t hop = 0; hop < cell.recall[group].size(); ++hop) {
      sum.recall[group][hop].num_recalled += cell.recall[group][hop].num_recalled;
      sum.recall[group][hop].rank_sum += cell.recall[group][hop].rank_sum;
    }
  }
}

Json cell_json(const NeedleCell& cell) {
  const Interval interval = cell.interval();
  Json json = {{"num_samples", cell.num_samples},
               {"num_correct", cell.num_correct},
               {"accuracy", number_or_null(cell.accuracy())},
               {"wilson_95", {interval.low, interval.high}}};
  Json groups = Json::array();
  for (const std::vector<NeedleRecall>& hops : cell.recall) {
    Json list = Json::array();
    const auto samples = static_cast<double>(cell.num_samples);
    for (const NeedleRecall& recall : hops) {
      list.push_back({{"recall_at_k", number_or_null(static_cast<double>(recall.num_recalled) / samples)},
                      {"mean_rank", number_or_null(recall.rank_sum / samples)}});
    }
    groups.push_back(list);
  }
  json["retrieval"] = groups;  // [group][hop]
  return json;
}

}  // namespace

std::vector<NeedleAnswer> ask_needles(const Model& model, const std::vector<NeedleSample>& samples,
                                      const NeedleQuestioning& questioning) {
  Engine engine(model, nullptr, {.segment_tokens = questioning.segment_tokens, .max_running = samples.size()});
  std::vector<NeedleAnswer> answers(samples.size());
  std::vector<std::int64_t> num_read(samples.size());
  const Clock::time_point start = Clock::now();
  for (std::size_t n = 0; n < samples.size(); ++n) {
    NeedleAnswer& answer = answers[n];
    Request request;
    request.text = new_text_session(model, questioning.dtype, questioning.memories);
    request.prompt_ids = samples[n].prompt_ids;
    request.config.sampling.greedy = true;
    request.config.stop.max_new_tokens = std::ssize(samples[n].answer_ids);
    request.config.stop.stop_at_end_of_text = false;
    request.listener.stop = questioning.stop;
    request.listener.on_prompt_read = [&, n](std::int64_t num_tokens) {
      num_read[n] = num_tokens;
      if (questioning.on_progress) questioning.on_progress(std::reduce(num_read.begin(), num_read.end()));
    };
    request.before_first_token = [&answer](const Sequence& sequence) {
      answer.retrievals = sequence.current_retrievals();
    };
    request.listener.on_token = [&answer, start](std::int64_t) {
      if (answer.first_token_seconds == 0) answer.first_token_seconds = seconds_since(start);
    };
    request.on_finished = [&answer](Finished finished) {
      if (finished.error) return rethrow_unless_interrupted(finished.error);
      if (finished.result.stop_reason != StopReason::interrupted) answer.ids = std::move(finished.result.ids);
    };
    engine.submit(std::move(request));
  }
  while (engine.step()) {
  }
  return answers;
}

void count_needle_answer(const NeedleAnswer& answer, const NeedleSample& sample, std::int64_t chunk_size,
                         NeedleCell& cell) {
  ++cell.num_samples;
  cell.num_correct += answer.ids == sample.answer_ids ? 1 : 0;
  cell.recall.resize(answer.retrievals.size(), std::vector<NeedleRecall>(sample.needle_begins.size()));
  for (std::size_t group = 0; group < answer.retrievals.size(); ++group) {
    const Retrieval& retrieval = answer.retrievals[group];
    for (std::size_t hop = 0; hop < sample.needle_begins.size(); ++hop) {
      count_recall(retrieval.scores.defined() ? retrieval.scores[0][0] : at::Tensor(), retrieval.indices[0][0],
                   sample.needle_begins[hop] / chunk_size, (sample.needle_ends[hop] - 1) / chunk_size,
                   cell.recall[group][hop]);
    }
  }
}

double NeedleCell::accuracy() const {
  if (num_samples == 0) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(num_correct) / static_cast<double>(num_samples);
}

NeedleEvaluation evaluate_needles(const Model& model, const Tokenizer& tokenizer,
                                  std::span<const std::int64_t> haystack, const NeedleEvaluationConfig& config,
                                  const NeedleProgress& on_progress, const StopToken& stop) {
  require(!config.lengths.empty() && !config.depths.empty(), "needle evaluation: no lengths or no depths");
  require(config.num_samples >= 1, "needle evaluation: {} samples a cell, expected at least 1", config.num_samples);
  NeedleEvaluation evaluation;
  std::vector<NeedleGenerator> generators;
  double total_tokens = 0;
  for (const std::int64_t length : config.lengths) {
    for (const double depth : config.depths) {
      require(depth >= 0 && depth <= 1, "needle evaluation: depth {} is not in 0 to 1", depth);
      NeedleTask task = config.task;
      task.length = length;
      task.depth = depth;
      generators.emplace_back(task, haystack, tokenizer);
      evaluation.cells.push_back({.length = length, .depth = depth, .recall = {}});
      total_tokens += static_cast<double>(length) * static_cast<double>(config.num_samples);
    }
  }

  double done_tokens = 0;
  NeedleQuestioning questioning;
  questioning.dtype = config.dtype;
  questioning.segment_tokens = config.segment_tokens;
  questioning.on_progress = [&](std::int64_t num_tokens) {
    if (on_progress) on_progress(done_tokens + static_cast<double>(num_tokens), total_tokens);
  };
  questioning.stop = stop;
  for (std::size_t i = 0; i < generators.size(); ++i) {
    NeedleCell& cell = evaluation.cells[i];
    const std::int64_t at_once = std::max<std::int64_t>(1, config.most_tokens_at_once / cell.length);
    while (cell.num_samples < config.num_samples) {
      std::vector<NeedleSample> samples;
      const std::int64_t count = std::min(at_once, config.num_samples - cell.num_samples);
      for (std::int64_t n = 0; n < count; ++n) {
        Random random = random_of_sample(config.seed, cell.length, cell.depth, cell.num_samples + n);
        samples.push_back(generators[i].make(random));
      }
      const std::vector<NeedleAnswer> answers = ask_needles(model, samples, questioning);
      for (std::size_t n = 0; n < samples.size(); ++n) {
        evaluation.complete = evaluation.complete && !answers[n].ids.empty();
        if (!answers[n].ids.empty()) count_needle_answer(answers[n], samples[n], config.task.chunk_size, cell);
      }
      if (!evaluation.complete) return evaluation;
      done_tokens += static_cast<double>(cell.length * count);
    }
  }
  return evaluation;
}

NeedleCell sum_of_length(const NeedleEvaluation& evaluation, std::int64_t length) {
  NeedleCell sum{.length = length, .recall = {}};
  for (const NeedleCell& cell : evaluation.cells) {
    if (cell.length == length) add(cell, sum);
  }
  return sum;
}

NeedleCell sum_of_depth(const NeedleEvaluation& evaluation, double depth) {
  NeedleCell sum{.depth = depth, .recall = {}};
  for (const NeedleCell& cell : evaluation.cells) {
    if (cell.depth == depth) add(cell, sum);
  }
  return sum;
}

void add_cells(const NeedleEvaluation& evaluation, const std::vector<std::int64_t>& lengths,
               const std::vector<double>& depths, Json& json) {
  const auto append = [&json](const char* list, Json keys, const NeedleCell& cell) {
    keys.update(cell_json(cell));
    json[list].push_back(std::move(keys));
  };
  for (const NeedleCell& cell : evaluation.cells) {
    append("cells", {{"length", cell.length}, {"depth", cell.depth}}, cell);
  }
  for (const std::int64_t length : lengths)
    append("by_length", {{"length", length}}, sum_of_length(evaluation, length));
  for (const double depth : depths) append("by_depth", {{"depth", depth}}, sum_of_depth(evaluation, depth));
}

Json to_json(const NeedleEvaluation& evaluation, const NeedleEvaluationConfig& config) {
  Json json = {{"task", to_string(config.task.kind)},
               {"seed", config.seed},
               {"chunk_size", config.task.chunk_size},
               {"samples_per_cell", config.num_samples},
               {"complete", evaluation.complete}};
  if (config.task.kind == NeedleKind::recipe) {
    json["num_needles"] = config.task.num_needles;
    json["num_empty_chunks"] = config.task.num_empty_chunks;
  }
  add_cells(evaluation, config.lengths, config.depths, json);
  return json;
}

}  // namespace lookback
