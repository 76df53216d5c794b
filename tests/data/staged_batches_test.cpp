#include "data/staged_batches.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "core/error.h"
#include "data/batches_ahead.h"

namespace lookback {
namespace {

// Batches that begin with who gives them and how many it gave before. The third token has no label.
class Numbered : public BatchSource {
 public:
  explicit Numbered(std::int64_t name, bool listens = false) : name_(name), listens_(listens) {}
  TokenBatch next() override {
    TokenBatch batch;
    batch.num_sequences = 1;
    batch.length = 4;
    batch.input_ids = {name_, num_given_++, 0, 0};
    batch.labels = {5, 5, ignored_label, 5};
    return batch;
  }
  bool listens() const override { return listens_; }
  Json state() const override { return num_given_; }
  void restore(const Json& state) override { num_given_ = state.get<std::int64_t>(); }

 private:
  std::int64_t name_;
  bool listens_;
  std::int64_t num_given_ = 0;
};

BatchStage stage(std::int64_t num_batches, const std::vector<std::pair<std::int64_t, double>>& names_and_weights) {
  BatchStage made{num_batches, {}};
  for (const auto& [name, weight] : names_and_weights) {
    made.sources.push_back({std::make_unique<Numbered>(name), weight});
  }
  return made;
}

// The same three stages each time; the last may be longer, and a fourth may follow.
std::unique_ptr<BatchSource> three_stages(std::int64_t last = 5, bool fourth = false, std::uint64_t seed = 9) {
  std::vector<BatchStage> stages;
  stages.push_back(stage(4, {{1, 1}}));
  stages.push_back(stage(6, {{2, 1}, {3, 2}}));
  stages.push_back(stage(last, {{4, 1}, {5, 1}, {6, 1}}));
  if (fourth) stages.push_back(stage(3, {{7, 1}}));
  return make_staged_batches(std::move(stages), seed);
}

std::pair<std::int64_t, std::int64_t> taken(BatchSource& source) {
  const TokenBatch batch = source.next();
  return {batch.input_ids[0], batch.input_ids[1]};
}

TEST(StagedBatches, StagesFollowEachOtherAndSourcesGiveAllTheirBatches) {
  const auto source = three_stages();
  std::array<std::int64_t, 8> given{};
  for (int i = 0; i < 40; ++i) {
    const auto [name, number] = taken(*source);
    const bool right = i < 4 ? name == 1 : i < 10 ? name == 2 || name == 3 : name >= 4 && name <= 6;
    EXPECT_TRUE(right) << "batch " << i << " is of " << name;
    EXPECT_EQ(number, given.at(static_cast<std::size_t>(name))++);
  }
}

TEST(StagedBatches, SourcesAreDrawnByTheirWeights) {
  std::vector<BatchStage> stages;
  const std::vector<double> weights = {0.5, 3, 0, 1.5};
  stages.push_back(stage(1, {{0, weights[0]}, {1, weights[1]}, {2, weights[2]}, {3, weights[3]}}));
  const auto source = make_staged_batches(std::move(stages), 3);
  std::array<std::int64_t, 4> counts{};
  constexpr int num_batches = 4000;
  std::int64_t num_same = 0;  // as the one before
  std::int64_t before = -1;
  for (int i = 0; i < num_batches; ++i) {
    const std::int64_t name = taken(*source).first;
    ++counts.at(static_cast<std::size_t>(name));
    num_same += name == before ? 1 : 0;
    before = name;
  }
  double chi_square = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const double expected = num_batches * weights[i] / 5;
    if (expected == 0) {
      EXPECT_EQ(counts.at(i), 0);
    } else {
      const double difference = static_cast<double>(counts.at(i)) - expected;
      chi_square += difference * difference / expected;
    }
  }
  EXPECT_LT(chi_square, 13.8) << "one in a thousand exceeds it with two degrees of freedom";
  // Draws that knew of each other would repeat too often or too seldom: 0.1^2 + 0.6^2 + 0.3^2 of all do.
  EXPECT_NEAR(static_cast<double>(num_same) / num_batches, 0.46, 4 * std::sqrt(0.46 * 0.54 / num_batches));
}

TEST(StagedBatches, GoOnFromAnywhereAsIfTheyHadNotStopped) {
  std::vector<std::pair<std::int64_t, std::int64_t>> expected;
  const auto whole = three_stages();
  for (int i = 0; i < 30; ++i) expected.push_back(taken(*whole));
  for (std::size_t stop = 0; stop <= 20; ++stop) {
    const auto first = three_stages();
    for (std::size_t i = 0; i < stop; ++i) taken(*first);
    const Json state = parse_json(first->state().dump(), "state");
    const auto fresh = three_stages();
    const auto ahead = three_stages();
    for (int i = 0; i < 25; ++i) taken(*ahead);
    for (const auto& resumed : {std::cref(fresh), std::cref(ahead)}) {
      resumed.get()->restore(state);
      for (std::size_t i = stop; i < 30; ++i) EXPECT_EQ(taken(*resumed.get()), expected[i]) << "batch " << i;
    }
  }
}

// A thread makes the first batches of a stage while the one before is in use; what it made is forgotten at the end.
TEST(StagedBatches, MayBeMadeAheadOverTheEndOfAStage) {
  for (const int stop : {3, 4, 9, 10}) {
    const auto source = three_stages();
    const auto expected = three_stages();
    {
      BatchesAhead ahead(*source, 3);
      for (int i = 0; i < stop; ++i) EXPECT_EQ(taken(ahead), taken(*expected));
      ahead.finish();
    }
    for (int i = stop; i < 20; ++i) EXPECT_EQ(taken(*source), taken(*expected)) << i;
  }
}

TEST(StagedBatches, MoreAtTheEndAltersNothingBefore) {
  const auto before = three_stages();
  const auto longer = three_stages(8);
  for (int i = 0; i < 15; ++i) EXPECT_EQ(taken(*longer), taken(*before));
  const auto with_fourth = three_stages(5, true);
  with_fourth->restore(before->state());
  EXPECT_EQ(taken(*with_fourth), (std::pair<std::int64_t, std::int64_t>{7, 0}));
}

TEST(StagedBatches, OfSeveralSourcesEveryBatchCountsAlike) {
  const auto source = three_stages();
  for (int i = 0; i < 15; ++i) {
    const TokenBatch batch = source->next();
    if (i < 4) {
      EXPECT_TRUE(batch.loss_weights.empty());
    } else {
      const float third = 1.0F / 3;
      EXPECT_EQ(batch.loss_weights, (std::vector<float>{third, third, 0, third}));
    }
  }
}

TEST(StagedBatches, RefuseForeignStatesAndBadSettings) {
  const auto source = three_stages();
  for (int i = 0; i < 7; ++i) source->next();
  const Json state = source->state();
  EXPECT_THROW(three_stages(5, false, 10)->restore(state), Error);
  for (const auto& [key, value] : {std::pair("stage", Json(3)),
                                   {"stage", Json(-1)},
                                   {"num_batches", Json(-1)},
                                   {"num_batches", Json(7)},
                                   {"sources", Json::array({0})},
                                   {"kind", Json("corpus")}}) {
    Json bad = state;
    bad[key] = value;
    EXPECT_THROW(three_stages()->restore(bad), Error) << key << " " << value;
  }
  const auto refuses = [](BatchStage bad) {
    std::vector<BatchStage> stages;
    stages.push_back(stage(4, {{1, 1}}));
    stages.push_back(std::move(bad));
    EXPECT_THROW(make_staged_batches(std::move(stages), 1), Error);
  };
  refuses(stage(0, {{1, 1}}));
  refuses(stage(4, {}));
  refuses(stage(4, {{1, 0}, {2, 0}}));
  refuses(stage(4, {{1, 1}, {2, -0.5}}));
  refuses(stage(4, {{1, std::numeric_limits<double>::infinity()}}));
  BatchStage listening{4, {}};
  listening.sources.push_back({std::make_unique<Numbered>(1, true), 1});
  refuses(std::move(listening));
  EXPECT_THROW(make_staged_batches({}, 1), Error);
}

}  // namespace
}  // namespace lookback
