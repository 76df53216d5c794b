#include "data/needle_curriculum.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "core/random.h"
#include "data/needle_sequence.h"

namespace lookback {
namespace {

constexpr std::int64_t haystack_bytes = 2'000'000;
// Streams of one seed: the haystack's, then one a batch.
constexpr std::uint64_t haystack_stream = 0;
constexpr std::uint64_t first_batch_stream = 1;
// The digits and the closing bar.
constexpr std::int64_t answer_loss_length = needle_value_length + 1;

NeedleSequenceShape shape_of(const NeedleCurriculumConfig& config, const NeedleStage& stage) {
  return {config.chunk_size, stage.num_chunks, stage.num_needles, stage.num_questions};
}

void check(const NeedleCurriculumConfig& config) {
  require(!config.stages.empty(), "needle curriculum: no stages");
  for (const NeedleStage& stage : config.stages) check_needle_shape(shape_of(config, stage));
  require(config.chunks_per_batch >= 1, "needle curriculum: chunks_per_batch is {}, expected at least 1",
          config.chunks_per_batch);
  require(config.scheduled_starts.size() <= config.stages.size(),
          "needle curriculum: {} scheduled starts for {} stages", config.scheduled_starts.size(), config.stages.size());
}

// Appends a sequence as a row of the batch; weights are divided by their counts when the batch is whole.
void append_row(const NeedleSequence& sequence, TokenBatch& batch) {
  const std::int64_t row_begin = batch.num_sequences * batch.length;
  ++batch.num_sequences;
  batch.input_ids.insert(batch.input_ids.end(), sequence.ids.begin(), sequence.ids.end());
  batch.labels.insert(batch.labels.end(), sequence.ids.begin() + 1, sequence.ids.end());
  batch.labels.push_back(ignored_label);
  for (const std::int64_t answer_begin : sequence.answer_begins) {
    // Position p predicts token p + 1.
    for (std::int64_t i = 0; i < needle_value_length; ++i) {
      batch.answer_positions.push_back(row_begin + answer_begin + i - 1);
    }
  }
}

void set_loss_weights(double text_loss_weight, TokenBatch& batch) {
  const auto num_labels = static_cast<double>(batch.num_sequences * (batch.length - 1));
  const std::size_t num_answers = batch.answer_positions.size() / needle_value_length;
  const double answer_weight = 1.0 / static_cast<double>(num_answers * answer_loss_length);
  batch.loss_weights.assign(batch.labels.size(), static_cast<float>(text_loss_weight / num_labels));
  for (std::size_t i = 0; i < batch.labels.size(); ++i) {
    if (batch.labels[i] == ignored_label) batch.loss_weights[i] = 0;
  }
  for (std::size_t answer = 0; answer < num_answers; ++answer) {
    const std::int64_t begin = batch.answer_positions[answer * needle_value_length];
    for (std::int64_t i = 0; i < answer_loss_length; ++i) {
      batch.loss_weights[static_cast<std::size_t>(begin + i)] += static_cast<float>(answer_weight);
    }
  }
}

}  // namespace

NeedleCurriculum::NeedleCurriculum(NeedleCurriculumConfig config) : config_(std::move(config)) {
  check(config_);
  Random random(config_.seed, haystack_stream);
  const std::string text = make_sentences(haystack_bytes, random);
  haystack_.assign(text.begin(), text.end());
}

bool NeedleCurriculum::stage_is_over() const {
  const std::size_t next_stage = stage_starts_.size();
  if (next_stage == config_.stages.size()) return false;
  if (!config_.scheduled_starts.empty()) {
    return next_stage < config_.scheduled_starts.size() && num_batches_ >= config_.scheduled_starts[next_stage];
  }
  return mean_exact_match_ > config_.threshold;
}

TokenBatch NeedleCurriculum::next() {
  if (stage_is_over()) {
    stage_starts_.push_back(num_batches_);
    mean_exact_match_ = 0;
  }
  Random random(config_.seed, first_batch_stream + static_cast<std::uint64_t>(num_batches_));
  ++num_batches_;
  TokenBatch batch;
  batch.length = stage().num_chunks * config_.chunk_size;
  batch.answer_length = needle_value_length;
  const std::int64_t num_sequences = std::max<std::int64_t>(1, config_.chunks_per_batch / stage().num_chunks);
  for (std::int64_t i = 0; i < num_sequences; ++i) {
    append_row(make_needle_sequence(haystack_, shape_of(config_, stage()), random), batch);
  }
  set_loss_weights(config_.text_loss_weight, batch);
  return batch;
}

void NeedleCurriculum::observe(double exact_match) {
  if (std::isnan(exact_match)) return;
  mean_exact_match_ = config_.momentum * mean_exact_match_ + (1 - config_.momentum) * exact_match;
}

Json NeedleCurriculum::state() const {
  return {{"source", "needle-curriculum"},
          {"seed", config_.seed},
          {"num_batches", num_batches_},
          {"mean_exact_match", mean_exact_match_},
          {"stage_starts", stage_starts_}};
}

void NeedleCurriculum::restore(const Json& state) {
  const std::string source = "needle curriculum's state";
  const auto kind = json_field<std::string>(state, "source", source);
  require(kind == "needle-curriculum", "{}: it is one of \"{}\"", source, kind);
  const auto seed = json_field<std::uint64_t>(state, "seed", source);
  require(seed == config_.seed, "{}: it has seed {}, this run {}", source, seed, config_.seed);
  const auto num_batches = json_field<std::int64_t>(state, "num_batches", source);
  const auto mean = json_field<double>(state, "mean_exact_match", source);
  auto starts = json_field<std::vector<std::int64_t>>(state, "stage_starts", source);
  require(num_batches >= 0, "{}: num_batches is {}", source, num_batches);
  require(!starts.empty() && starts.size() <= config_.stages.size() && std::is_sorted(starts.begin(), starts.end()),
          "{}: stage_starts does not fit {} stages", source, config_.stages.size());
  num_batches_ = num_batches;
  mean_exact_match_ = mean;
  stage_starts_ = std::move(starts);
}

}  // namespace lookback
