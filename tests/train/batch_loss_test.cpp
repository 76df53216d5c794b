// Gradients of accumulated, checkpointed and weighted batches; the golden training run.
#include "train/batch_loss.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/json.h"
#include "models/model_folder.h"
#include "nn/safetensors.h"
#include "train/clipping.h"
#include "train/generator.h"
#include "train/optimizer.h"
#include "train/train_helpers.h"

namespace lookback {
namespace {

std::vector<at::Tensor> gradients_of(Model& model) {
  std::vector<at::Tensor> gradients;
  for (const auto& [name, parameter] : model.parameters().named()) gradients.push_back(parameter.grad().clone());
  model.parameters().zero_gradients();
  return gradients;
}

void expect_close(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b, double bound) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double scale = std::max(1e-6, b[i].abs().max().item<double>());
    EXPECT_LE((a[i] - b[i]).abs().max().item<double>() / scale, bound) << "parameter " << i;
  }
}

// Rows [first, first + count) of a batch.
TokenBatch rows(const TokenBatch& batch, std::int64_t first, std::int64_t count) {
  TokenBatch part;
  part.num_sequences = count;
  part.length = batch.length;
  const auto begin = first * batch.length;
  const auto end = begin + count * batch.length;
  part.input_ids.assign(batch.input_ids.begin() + begin, batch.input_ids.begin() + end);
  part.labels.assign(batch.labels.begin() + begin, batch.labels.begin() + end);
  return part;
}

TEST(AccumulateGradients, SmallBatchesGiveTheBigBatchsGradient) {
  ModelConfig config = tiny_drt();
  config.own<DrtConfig>().gumbel_noise = false;  // drawn in another order by smaller batches
  const auto model = make_model(config, at::kCPU, 5);
  TokenBatch big = RandomBatches(4, 40, 32, 9).next();
  // Unequal numbers of labels: a mean of means would be wrong.
  for (int i = 0; i < 60; ++i) big.labels[static_cast<std::size_t>(i)] = ignored_label;
  const StepLoss whole = accumulate_gradients(*model, std::vector<TokenBatch>{big}, {});
  const auto expected = gradients_of(*model);
  const std::vector<TokenBatch> parts = {rows(big, 0, 1), rows(big, 1, 2), rows(big, 3, 1)};
  const StepLoss sum = accumulate_gradients(*model, parts, {});
  EXPECT_NEAR(sum.loss.item<double>(), whole.loss.item<double>(), 1e-6);
  EXPECT_EQ(sum.tokens, 160);
  expect_close(gradients_of(*model), expected, 1e-5);
}

TEST(AccumulateGradients, GradientCheckpointingGivesTheSameGradient) {
  for (const std::string& kind : model_kinds()) {
    const auto model = make_model(tiny_config(kind), at::kCPU, 5);
    const std::vector<TokenBatch> batches = {RandomBatches(2, 40, 32, 9).next()};
    std::vector<std::vector<at::Tensor>> found;
    std::vector<double> losses;
    for (const bool checkpointing : {false, true}) {
      ForwardOptions options;
      options.training = true;
      options.generator = make_generator(at::kCPU, 7);
      options.gradient_checkpointing = checkpointing;
      losses.push_back(accumulate_gradients(*model, batches, options).loss.item<double>());
      found.push_back(gradients_of(*model));
    }
    EXPECT_EQ(losses[0], losses[1]);
    expect_close(found[1], found[0], 1e-6);
  }
}

TEST(AccumulateGradients, OwnWeightsAreUsedAsTheyAre) {
  const auto model = make_model(tiny_sliding_window(), at::kCPU, 5);
  TokenBatch batch = RandomBatches(1, 20, 32, 9).next();
  const auto loss_of = [&](const std::vector<TokenBatch>& batches) {
    return accumulate_gradients(*model, batches, {}).loss.item<double>();
  };
  const double mean = loss_of({batch});
  batch.loss_weights.assign(20, 3.0F / 20);
  EXPECT_NEAR(loss_of({batch}), 3 * mean, 1e-5);
  EXPECT_NEAR(loss_of({batch, batch}), 3 * mean, 1e-5);
  batch.loss_weights.pop_back();
  error_of([&] { accumulate_gradients(*model, std::vector<TokenBatch>{batch}, {}); });
}

TEST(AccumulateGradients, IdsThatAreNotInTheVocabularyAreNamed) {
  const auto model = make_model(tiny_sliding_window(), at::kCPU, 5);
  const TokenBatch good = RandomBatches(1, 20, 32, 9).next();
  const auto message = [&](std::vector<std::int64_t> TokenBatch::* member, std::int64_t id) {
    TokenBatch batch = good;
    (batch.*member)[7] = id;
    return error_of([&] { accumulate_gradients(*model, std::vector<TokenBatch>{batch}, {}); });
  };
  EXPECT_EQ(message(&TokenBatch::input_ids, 32), "batch: id 32 is not in the model's vocabulary of 32");
  EXPECT_EQ(message(&TokenBatch::input_ids, -1), "batch: id -1 is not in the model's vocabulary of 32");
  EXPECT_EQ(message(&TokenBatch::labels, 32), "batch: label 32 is not in the model's vocabulary of 32");
  EXPECT_EQ(message(&TokenBatch::labels, -1), "batch: label -1 is not in the model's vocabulary of 32");
}

TEST(AccumulateGradients, CountsAnswersThatAreWhollyTheLikeliest) {
  const auto model = make_model(tiny_sliding_window(), at::kCPU, 5);
  TokenBatch batch = RandomBatches(1, 20, 32, 9).next();
  const auto exact_match = [&] {
    return accumulate_gradients(*model, std::vector<TokenBatch>{batch}, {}).exact_match.item<double>();
  };
  EXPECT_TRUE(std::isnan(exact_match()));
  const at::Tensor ids = at::tensor(at::ArrayRef<std::int64_t>(batch.input_ids)).view({1, 20});
  const at::Tensor likeliest = model->logits(model->hidden_states(ids, {})).argmax(-1).flatten();
  for (std::size_t i = 0; i < 20; ++i) batch.labels[i] = likeliest[static_cast<std::int64_t>(i)].item<std::int64_t>();
  batch.answer_positions = {2, 3, 10, 11, 15, 16, 18, 19};
  batch.answer_length = 2;
  batch.labels[11] = (batch.labels[11] + 1) % 32;  // one token of the second answer is wrong
  EXPECT_DOUBLE_EQ(exact_match(), 0.75);
}

// 40 optimizer steps that a float64 reference made, within 1e-4.
TEST(GoldenTraining, LossesAndGradientNormsAreReproduced) {
  const std::filesystem::path folder = LOOKBACK_SOURCE_DIR "/tests/fixtures/golden/drt-training";
  const Json expected = read_json_file(folder / "expected.json");
  const auto model = load_model(folder, at::kCPU);
  const at::Tensor batches = read_safetensors(folder / "batches.safetensors")[0].second;  // input_ids [40, N, L]
  TrainConfig config;
  config.weight_decay = expected.at("weight_decay");
  config.decay_all_parameters = expected.at("decay_all_parameters");
  AdamW optimizer(model->parameters(), config);
  for (std::int64_t step = 0; step < batches.size(0); ++step) {
    const at::Tensor ids = batches[step].to(at::kLong).contiguous();
    const at::Tensor labels =
        at::constant_pad_nd(ids.narrow(1, 1, ids.size(1) - 1), {0, 1}, ignored_label).contiguous();
    TokenBatch batch;
    batch.num_sequences = ids.size(0);
    batch.length = ids.size(1);
    batch.input_ids.assign(ids.data_ptr<std::int64_t>(), ids.data_ptr<std::int64_t>() + ids.numel());
    batch.labels.assign(labels.data_ptr<std::int64_t>(), labels.data_ptr<std::int64_t>() + labels.numel());
    model->parameters().zero_gradients();
    const StepLoss loss = accumulate_gradients(*model, std::vector<TokenBatch>{batch}, {});
    const auto norm = clip_gradients(model->parameters(), expected.at("clip_grad_norm")).item<double>();
    optimizer.step(expected.at("lr"));
    EXPECT_NEAR(loss.loss.item<double>(), expected.at("loss")[static_cast<std::size_t>(step)].get<double>(), 1e-4)
        << step;
    EXPECT_NEAR(norm, expected.at("grad_norm")[static_cast<std::size_t>(step)].get<double>(), 1e-4) << step;
  }
}

}  // namespace
}  // namespace lookback
