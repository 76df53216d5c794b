#include "data/far_repeat_weights.h"

#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "core/error.h"

namespace lookback {
namespace {

class FarRepeatWeighted : public BatchSource {
 public:
  FarRepeatWeighted(std::unique_ptr<BatchSource> source, const FarRepeatWeights& weights)
      : source_(std::move(source)), weights_(weights) {
    require(std::isfinite(weights.weight) && weights.weight >= 0,
            "far_repeat_weight must be a number that is not negative, found {}", weights.weight);
    require(weights.near_tokens >= 0 && weights.min_match >= 0,
            "far repeats: {} tokens that are near and {} that match: must not be negative", weights.near_tokens,
            weights.min_match);
  }

  TokenBatch next() override {
    TokenBatch batch = source_->next();
    require(batch.loss_weights.empty(), "far repeats: the batch has loss weights of its own");
    std::vector<double> weights;
    for (std::int64_t row = 0; row < batch.num_sequences; ++row) append_weights(batch, row, weights);
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (const double weight : weights) batch.loss_weights.push_back(static_cast<float>(sum > 0 ? weight / sum : 0));
    return batch;
  }

  bool listens() const override { return source_->listens(); }
  void observe(double exact_match) override { source_->observe(exact_match); }
  Json state() const override { return source_->state(); }
  void restore(const Json& state) override { source_->restore(state); }

 private:
  // Of the labels of one sequence, not yet divided by their sum.
  void append_weights(const TokenBatch& batch, std::int64_t row, std::vector<double>& weights) const {
    const auto begin = static_cast<std::ptrdiff_t>(row * batch.length);
    std::vector<std::int64_t> ids(batch.input_ids.begin() + begin, batch.input_ids.begin() + begin + batch.length);
    ids.push_back(batch.labels[static_cast<std::size_t>(begin + batch.length - 1)]);
    const std::vector<std::int64_t> distances = repeat_distances(ids, weights_.min_match);
    for (std::int64_t i = 0; i < batch.length; ++i) {
      const bool is_label = batch.labels[static_cast<std::size_t>(begin + i)] != ignored_label;
      const bool is_far = distances[static_cast<std::size_t>(i + 1)] > weights_.near_tokens;
      weights.push_back(!is_label ? 0 : is_far ? weights_.weight : 1);
    }
  }

  std::unique_ptr<BatchSource> source_;
  FarRepeatWeights weights_;
};

}  // namespace

std::unique_ptr<BatchSource> weigh_far_repeats(std::unique_ptr<BatchSource> source, const FarRepeatWeights& weights) {
  return std::make_unique<FarRepeatWeighted>(std::move(source), weights);
}

}  // namespace lookback
