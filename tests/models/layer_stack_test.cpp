// That a model is its layers alone: the one of docs/adding-a-model.md, which is in no registry.
#include "models/layer_stack.h"

#include <gtest/gtest.h>

#include "models/running_mean.h"
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
  const auto session = model_->new_session(2, at::kFloat);
  std::vector<at::Tensor> parts;
  std::int64_t first = 0;
  for (const std::int64_t count : {1, 30, 2, 57}) {
    parts.push_back(session->append(ids_.narrow(1, first, count)));
    first += count;
  }
  EXPECT_LT((at::cat(parts, 1) - whole_).abs().max().item<double>(), 2e-4);
}

TEST_F(RunningMean, PrefillStateAndSelectionGoOn) {
  const auto session = model_->new_session(2, at::kFloat);
  PrefillOptions options;
  options.segment_tokens = 16;
  const at::Tensor last = session->prefill(ids_.narrow(1, 0, 70), options);
  EXPECT_LT((last - whole_.narrow(1, 69, 1)).abs().max().item<double>(), 2e-4);
  session->select({1, 0});
  const auto resumed = model_->new_session(2, at::kFloat);
  resumed->restore(session->state());
  const at::Tensor swapped = ids_.flip(0);
  EXPECT_LT((resumed->append(swapped.narrow(1, 70, 20)) - whole_.flip(0).narrow(1, 70, 20)).abs().max().item<double>(),
            2e-4);
}

TEST_F(RunningMean, ItsLayerMatters) {
  model_->parameters().get("model.layers.3.mean.weight").detach().zero_();
  EXPECT_GT((model_->hidden_states(ids_, {}) - whole_).abs().max().item<double>(), 1e-3);
}

}  // namespace
}  // namespace lookback
