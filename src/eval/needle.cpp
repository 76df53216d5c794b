#include "eval/needle.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "core/clock.h"
#include "core/error.h"
#include "core/random.h"

namespace lookback {
namespace {

at::Tensor rows_of(const std::vector<NeedleSample>& samples, std::vector<std::int64_t> NeedleSample::* member) {
  std::vector<at::Tensor> rows;
  for (const NeedleSample& sample : samples) rows.push_back(at::tensor(sample.*member, at::kLong));
  return at::stack(rows);
}

// hidden [N, T, d] -> [N, T] on the CPU.
at::Tensor likeliest_tokens(const Model& model, const at::Tensor& hidden) {
  const at::Tensor logits = model.logits(hidden);
  require(logits.isfinite().all().item<bool>(), "the model's logits hold NaN or infinity: its weights are broken");
  return logits.argmax(-1).cpu();
}

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

NeedleAnswers ask_needles(const Model& model, const std::vector<NeedleSample>& samples, at::ScalarType dtype,
                          const PrefillOptions& options, const std::shared_ptr<const MemorySet>& memories) {
  std::vector<std::unique_ptr<Sequence>> owned;
  std::vector<Sequence*> sequences;
  std::vector<std::span<const std::int64_t>> prompts;
  for (const NeedleSample& sample : samples) {
    owned.push_back(model.new_sequence(dtype));
    owned.back()->attach(memories);
    sequences.push_back(owned.back().get());
    prompts.emplace_back(sample.prompt_ids);
  }
  const Clock::time_point start = Clock::now();
  at::Tensor said = likeliest_tokens(model, prefill(model, sequences, prompts, options));  // [N, 1]
  NeedleAnswers result;
  result.first_token_seconds = seconds_since(start);
  for (const Sequence* sequence : sequences) result.retrievals.push_back(sequence->current_retrievals());
  const std::size_t answer_length = samples.front().answer_ids.size();
  if (answer_length > 1) {
    std::vector<Piece> pieces;
    for (std::size_t n = 0; n < samples.size(); ++n) {
      pieces.push_back({sequences[n], std::span(samples[n].answer_ids).first(answer_length - 1), 0});
    }
    const at::Tensor hidden = model.step(pieces).unflatten(0, {std::ssize(samples), -1});
    said = at::cat({said, likeliest_tokens(model, hidden)}, 1);
  }
  const at::Tensor correct = said.eq(rows_of(samples, &NeedleSample::answer_ids)).all(1);
  for (std::int64_t n = 0; n < correct.size(0); ++n) result.correct.push_back(correct[n].item<bool>());
  return result;
}

void count_needle_answers(const NeedleAnswers& answers, const std::vector<NeedleSample>& samples,
                          std::int64_t chunk_size, NeedleCell& cell) {
  cell.recall.resize(answers.retrievals.front().size(), std::vector<NeedleRecall>(samples[0].needle_begins.size()));
  for (std::size_t n = 0; n < samples.size(); ++n) {
    ++cell.num_samples;
    cell.num_correct += answers.correct[n] ? 1 : 0;
    for (std::size_t group = 0; group < answers.retrievals[n].size(); ++group) {
      const Retrieval& retrieval = answers.retrievals[n][group];
      for (std::size_t hop = 0; hop < samples[n].needle_begins.size(); ++hop) {
        count_recall(retrieval.scores.defined() ? retrieval.scores[0][0] : at::Tensor(), retrieval.indices[0][0],
                     samples[n].needle_begins[hop] / chunk_size, (samples[n].needle_ends[hop] - 1) / chunk_size,
                     cell.recall[group][hop]);
      }
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
      PrefillOptions options;
      // Segments of several samples at once are not larger than those of one.
      options.segment_tokens = std::max<std::int64_t>(1, config.segment_tokens / count);
      options.on_progress = [&](std::int64_t num_tokens) {
        if (on_progress) on_progress(done_tokens + static_cast<double>(num_tokens * count), total_tokens);
      };
      options.stop = stop;
      try {
        count_needle_answers(ask_needles(model, samples, config.dtype, options, {}), samples, config.task.chunk_size,
                             cell);
      } catch (const Interrupted&) {
        evaluation.complete = false;
        return evaluation;
      }
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
