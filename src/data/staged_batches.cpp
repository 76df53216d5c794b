#include "data/staged_batches.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/random.h"
#include "data/batch_state.h"
#include "data/counter_hash.h"

namespace lookback {
namespace {

// Weights under which the loss is the mean over the labels, as it is without any.
std::vector<float> equal_weights(const TokenBatch& batch) {
  const auto num_labels =
      std::ranges::count_if(batch.labels, [](std::int64_t label) { return label != ignored_label; });
  const auto weight = static_cast<float>(1.0 / static_cast<double>(std::max<std::int64_t>(1, num_labels)));
  std::vector<float> weights;
  for (const std::int64_t label : batch.labels) weights.push_back(label == ignored_label ? 0 : weight);
  return weights;
}

class StagedBatches : public BatchSource {
 public:
  StagedBatches(std::vector<BatchStage> stages, std::uint64_t seed) : stages_(std::move(stages)), seed_(seed) {
    require(!stages_.empty(), "staged batches: no stages");
    for (const BatchStage& stage : stages_) check(stage);
    for (const BatchStage& stage : stages_) {
      std::vector<Json>& states = first_states_.emplace_back();
      for (const WeightedSource& source : stage.sources) states.push_back(source.source->state());
    }
  }

  TokenBatch next() override {
    if (num_batches_ == stages_[stage_].num_batches && stage_ + 1 < stages_.size()) begin_stage(stage_ + 1);
    BatchStage& stage = stages_[stage_];
    TokenBatch batch = stage.sources[draw_source(stage)].source->next();
    ++num_batches_;
    if (stage.sources.size() > 1 && batch.loss_weights.empty()) batch.loss_weights = equal_weights(batch);
    return batch;
  }

  Json state() const override {
    Json sources = Json::array();
    for (const WeightedSource& source : stages_[stage_].sources) sources.push_back(source.source->state());
    return {
        {"kind", "stages"}, {"seed", seed_}, {"stage", stage_}, {"num_batches", num_batches_}, {"sources", sources}};
  }

  void restore(const Json& state) override {
    const std::string where = "state of the training data";
    check_same_state(state, "kind", std::string("stages"));
    check_same_state(state, "seed", seed_);
    const auto stage = json_field<std::size_t>(state, "stage", where);
    const std::int64_t num_batches = batch_count_of(state);
    const auto sources = json_field<std::vector<Json>>(state, "sources", where);
    require(stage < stages_.size(), "{}: is in stage {} of {}", where, stage + 1, stages_.size());
    const BatchStage& now = stages_[stage];
    require(stage + 1 == stages_.size() || num_batches <= now.num_batches, "{}: batch {} of a stage of {}", where,
            num_batches, now.num_batches);
    require(sources.size() == now.sources.size(), "{}: {} sources in stage {}, which has {}", where, sources.size(),
            stage + 1, now.sources.size());
    for (std::size_t i = 0; i < sources.size(); ++i) now.sources[i].source->restore(sources[i]);
    stage_ = stage;
    num_batches_ = num_batches;
  }

 private:
  static void check(const BatchStage& stage) {
    require(stage.num_batches >= 1, "stage of {} batches: expected at least 1", stage.num_batches);
    double sum = 0;
    for (const WeightedSource& source : stage.sources) {
      require(std::isfinite(source.weight) && source.weight >= 0,
              "weight of a source must be a number that is not negative, found {}", source.weight);
      require(!source.source->listens(), "staged batches: what listens has stages of its own");
      sum += source.weight;
    }
    require(sum > 0, "the weights of a stage's sources are all 0");
  }

  // Its sources may have been in use: a state of before that they are read ahead of may have been gone back to.
  void begin_stage(std::size_t stage) {
    stage_ = stage;
    num_batches_ = 0;
    for (std::size_t i = 0; i < stages_[stage].sources.size(); ++i) {
      stages_[stage].sources[i].source->restore(first_states_[stage][i]);
    }
  }

  std::size_t draw_source(const BatchStage& stage) const {
    double sum = 0;
    for (const WeightedSource& source : stage.sources) sum += source.weight;
    Random random(counter_hash({seed_, stage_, static_cast<std::uint64_t>(num_batches_)}));
    double rest = random.uniform() * sum;
    std::size_t last = 0;  // that can be drawn: rounding may leave some rest behind it
    for (std::size_t i = 0; i < stage.sources.size(); ++i) {
      const double weight = stage.sources[i].weight;
      if (weight == 0) continue;
      if (rest < weight) return i;
      rest -= weight;
      last = i;
    }
    return last;
  }

  std::vector<BatchStage> stages_;
  std::vector<std::vector<Json>> first_states_;  // of each stage's sources
  std::uint64_t seed_;
  std::size_t stage_ = 0;
  std::int64_t num_batches_ = 0;  // that the stage has given
};

}  // namespace

std::unique_ptr<BatchSource> make_staged_batches(std::vector<BatchStage> stages, std::uint64_t seed) {
  return std::make_unique<StagedBatches>(std::move(stages), seed);
}

}  // namespace lookback
