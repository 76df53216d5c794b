// A training step queues a device's work and waits for none of it. On the CPU nothing is waited for, but the operators
// that would be are the same: here they are counted.
#include <ATen/record_function.h>
#include <gmock/gmock.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "train/batch_loss.h"
#include "train/train_helpers.h"
#include "train/training_step.h"
#include "train/validation.h"

namespace lookback {
namespace {

using Counts = std::map<std::string, int>;

Counts* counts_now = nullptr;
int num_optimizers_open = 0;

// Operators whose results, or the results' sizes, the host must know: each of them waits for a GPU.
bool is_waited_for(std::string_view name) {
  for (const std::string_view one :
       {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::_unique", "aten::_unique2",
        "aten::unique_dim", "aten::unique_consecutive", "aten::equal", "aten::is_nonzero", "aten::bincount"}) {
    if (name == one) return true;
  }
  return false;
}

// The CPU's fused optimizer reads its step counts as numbers, the GPU's on the card.
bool is_optimizer(const at::RecordFunction& function) {
  return std::string_view(function.name()) == "aten::_fused_adamw_";
}

std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& function) {
  if (is_optimizer(function)) ++num_optimizers_open;
  if (num_optimizers_open == 0 && is_waited_for(function.name())) ++(*counts_now)[function.name()];
  return nullptr;
}

void end(const at::RecordFunction& function, at::ObserverContext* /*context*/) {
  if (is_optimizer(function)) --num_optimizers_open;
}

// What `work` calls of them.
Counts waits_of(const std::function<void()>& work) {
  Counts counts;
  counts_now = &counts;
  const auto handle =
      at::addThreadLocalCallback(at::RecordFunctionCallback(begin, end).scopes({at::RecordScope::FUNCTION}));
  work();
  at::removeCallback(handle);
  counts_now = nullptr;
  return counts;
}

TokenBatch batch_with_answers() {
  TokenBatch batch = RandomBatches(2, 60, 32, 9).next();
  batch.loss_weights.assign(batch.labels.size(), 0.01F);
  batch.labels[3] = ignored_label;
  batch.answer_positions = {20, 21, 80, 81};
  batch.answer_length = 2;
  return batch;
}

TEST(HostWaits, AreCountedWhereTheyAre) {
  const at::Tensor x = at::tensor({0.0F, 2.0F});
  EXPECT_EQ(waits_of([&] { static_cast<void>(x.sum().item<float>()); }), (Counts{{"aten::_local_scalar_dense", 1}}));
  EXPECT_EQ(waits_of([&] { x.masked_select(x.gt(1)); }).count("aten::masked_select"), 1U);
  EXPECT_EQ(waits_of([&] { x.index({x.gt(1)}); }).count("aten::nonzero"), 1U);
  EXPECT_TRUE(waits_of([&] { x.add(1); }).empty());
}

TEST(HostWaits, ATrainingStepOfEveryKindHasNone) {
  for (const std::string& kind : model_kinds()) {
    for (const bool gradient_checkpointing : {false, true}) {
      SCOPED_TRACE(kind + (gradient_checkpointing ? " with gradient checkpointing" : ""));
      const auto model = make_model(tiny_config(kind), at::kCPU, 3);
      TrainConfig config;
      config.gradient_checkpointing = gradient_checkpointing;
      TrainingStep step(*model, config);
      const std::vector<TokenBatch> batches = {RandomBatches(2, 60, 32, 9).next(), batch_with_answers()};
      TrainingStep::Result result;
      EXPECT_THAT(waits_of([&] { result = step.take(batches, 0); }), testing::IsEmpty());
      EXPECT_GT(result.loss.item<double>(), 0);
      EXPECT_GT(result.gradient_norm.item<double>(), 0);
    }
  }
}

TEST(HostWaits, ValidationHasOneHoweverManyItsBatches) {
  const auto model = make_model(tiny_drt(), at::kCPU, 3);
  RandomBatches source(2, 60, 32, 9);
  const std::vector<TokenBatch> batches = {source.next(), source.next(), source.next()};
  EXPECT_EQ(waits_of([&] { validate(*model, batches, at::kFloat); }), (Counts{{"aten::_local_scalar_dense", 1}}));
}

}  // namespace
}  // namespace lookback
