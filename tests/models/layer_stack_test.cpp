// That a model is its layers alone: the one of docs/adding-a-model.md, which is in no registry.
#include "models/layer_stack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "core/error.h"
#include "models/running_mean.h"
#include "models/sequence_batch.h"
#include "models/small_models.h"

namespace lookback {
namespace {

class RunningMean : public testing::Test {
 protected:
  const std::unique_ptr<Model> model_ = running_mean_kind.make(small_sliding_window_config(), at::kCPU, 3);
  const at::Tensor ids_ = random_ids(2, 90, 39, 1);
  const at::Tensor whole_ = model_->hidden_states(ids_, {}).detach();
};

TEST_F(RunningMean, SessionsEqualTheWholeForward) {
  SequenceBatch sequences(*model_, 2);
  std::vector<at::Tensor> parts;
  std::int64_t first = 0;
  for (const std::int64_t count : {1, 30, 2, 57}) {
    parts.push_back(sequences.append(ids_.narrow(1, first, count)));
    first += count;
  }
  EXPECT_LT((at::cat(parts, 1) - whole_).abs().max().item<double>(), 2e-4);
}

TEST_F(RunningMean, PrefillStateAndSelectionGoOn) {
  SequenceBatch sequences(*model_, 2);
  const at::Tensor last = sequences.prefill(ids_.narrow(1, 0, 70), 16);
  EXPECT_LT((last - whole_.narrow(1, 69, 1)).abs().max().item<double>(), 2e-4);
  sequences.select({1, 0});
  SequenceBatch resumed(*model_, 2);
  for (std::int64_t n = 0; n < 2; ++n) resumed[n].restore(sequences[n].state());
  const at::Tensor swapped = ids_.flip(0);
  EXPECT_LT((resumed.append(swapped.narrow(1, 70, 20)) - whole_.flip(0).narrow(1, 70, 20)).abs().max().item<double>(),
            2e-4);
}

TEST_F(RunningMean, ItsLayerMatters) {
  model_->parameters().get("model.layers.3.mean.weight").detach().zero_();
  EXPECT_GT((model_->hidden_states(ids_, {}) - whole_).abs().max().item<double>(), 1e-3);
}

TEST_F(RunningMean, ReadsNoMemoryOfOtherTexts) {
  const EncodedChunks memory;
  ForwardOptions options;
  options.memory = &memory;
  EXPECT_THROW(model_->hidden_states(ids_, options), Error);
}

// As config.json's reader sets them.
TEST_F(RunningMean, ItsKeysAreItsOwn) {
  ModelConfig config = small_sliding_window_config();
  const ConfigKeys keys = running_mean_kind.keys(config);
  EXPECT_STREQ(keys.back().name, "mean_layer");
  *std::get<std::int64_t*>(keys.back().member) = 3;
  running_mean_kind.check(config, "config.json");
  const auto other = running_mean_kind.make(config, at::kCPU, 3);
  EXPECT_GT((other->hidden_states(ids_, {}) - whole_).abs().max().item<double>(), 1e-3);
  *std::get<std::int64_t*>(keys.back().member) = 4;
  EXPECT_THAT([&] { running_mean_kind.check(config, "config.json"); },
              testing::ThrowsMessage<Error>("config.json: mean_layer must be at most 3, found 4"));
  // A copy has keys of its own, and another kind's configuration has none of these.
  ModelConfig copy = config;
  *std::get<std::int64_t*>(running_mean_kind.keys(copy).back().member) = 0;
  EXPECT_EQ(config.own<RunningMeanConfig>().mean_layer, 4);
  EXPECT_THROW(std::as_const(config).own<DrtConfig>(), Error);
}

}  // namespace
}  // namespace lookback
