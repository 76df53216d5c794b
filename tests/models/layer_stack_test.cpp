// That a model is its layers alone: the one of docs/adding-a-model.md, which is in no registry.
#include "models/layer_stack.h"

#include <gtest/gtest.h>

#include "models/running_mean.h"
#include "models/sequence_batch.h"
#include "models/small_models.h"

namespace lookback {
namespace {

class RunningMean : public testing::Test {
 protected:
  const std::unique_ptr<Model> model_ =
      make_stack<make_running_mean_layers>(small_sliding_window_config(), at::kCPU, 3);
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
  PrefillOptions options;
  options.segment_tokens = 16;
  const at::Tensor last = sequences.prefill(ids_.narrow(1, 0, 70), options);
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

}  // namespace
}  // namespace lookback
