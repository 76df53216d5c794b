#include "data/far_repeat_weights.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/error.h"
#include "core/random.h"

namespace lookback {
namespace {

// Batches of few different tokens, of which some have no label.
class Few : public BatchSource {
 public:
  TokenBatch next() override {
    TokenBatch batch;
    batch.num_sequences = 3;
    batch.length = 60;
    for (int row = 0; row < 3; ++row) {
      std::vector<std::int64_t> ids(61);
      for (std::int64_t& id : ids) id = static_cast<std::int64_t>(random_.below(3));
      batch.input_ids.insert(batch.input_ids.end(), ids.begin(), ids.end() - 1);
      batch.labels.insert(batch.labels.end(), ids.begin() + 1, ids.end());
    }
    for (int i = 0; i < 20; ++i) batch.labels[random_.below(180)] = ignored_label;
    return batch;
  }
  Json state() const override { return random_.state(); }
  void restore(const Json& state) override { random_ = Random::from_state(state.get<std::string>()); }

 private:
  Random random_{1};
};

TEST(FarRepeatWeights, AreThoseOfTheDefinition) {
  constexpr std::int64_t near_tokens = 20;
  constexpr std::int64_t min_match = 2;
  const auto source = weigh_far_repeats(std::make_unique<Few>(), {4, near_tokens, min_match});
  std::int64_t num_far = 0;
  for (int n = 0; n < 10; ++n) {
    const TokenBatch batch = source->next();
    std::vector<double> expected(180);
    for (std::size_t row = 0; row < 3; ++row) {
      // The label at position i is token i + 1; the last one's is what stands in labels alone.
      const auto token = [&](std::size_t at) {
        return at < 60 ? batch.input_ids[row * 60 + at] : batch.labels[row * 60 + 59];
      };
      for (std::size_t at = 1; at <= 60; ++at) {
        double& weight = expected[row * 60 + at - 1];
        if (batch.labels[row * 60 + at - 1] == ignored_label) continue;
        weight = 1;
        // The nearest source of token `at`, with the two before it.
        for (std::size_t from = at - 1; from >= 2 && from < at; --from) {
          if (token(from) != token(at) || token(from - 1) != token(at - 1) || token(from - 2) != token(at - 2))
            continue;
          if (at - from > near_tokens) {
            weight = 4;
            ++num_far;
          }
          break;
        }
      }
    }
    double sum = 0;
    for (const double weight : expected) sum += weight;
    ASSERT_EQ(batch.loss_weights.size(), 180U);
    for (std::size_t i = 0; i < 180; ++i) EXPECT_FLOAT_EQ(batch.loss_weights[i], static_cast<float>(expected[i] / sum));
  }
  EXPECT_GT(num_far, 100);
}

TEST(FarRepeatWeights, LeaveTheBatchesAsTheyAre) {
  const auto source = weigh_far_repeats(std::make_unique<Few>(), {4, 20, 2});
  Few plain;
  source->next();
  plain.next();
  EXPECT_EQ(source->state(), plain.state());
  const Json state = source->state();
  const TokenBatch batch = source->next();
  const TokenBatch expected = plain.next();
  EXPECT_EQ(batch.input_ids, expected.input_ids);
  EXPECT_EQ(batch.labels, expected.labels);
  source->restore(state);
  EXPECT_EQ(source->next().loss_weights, batch.loss_weights);
}

TEST(FarRepeatWeights, RefuseWhatIsOutOfRange) {
  EXPECT_THROW(weigh_far_repeats(std::make_unique<Few>(), {-1, 20, 2}), Error);
  EXPECT_THROW(weigh_far_repeats(std::make_unique<Few>(), {2, -1, 2}), Error);
  EXPECT_THROW(weigh_far_repeats(std::make_unique<Few>(), {2, 20, -1}), Error);
  const auto weighted_twice = weigh_far_repeats(weigh_far_repeats(std::make_unique<Few>(), {2, 20, 2}), {2, 20, 2});
  EXPECT_THROW(weighted_twice->next(), Error);
}

}  // namespace
}  // namespace lookback
