// Runs with stages, as a whole: what they read, and that they go on bit by bit wherever they were stopped.
#include <gmock/gmock.h>

#include <memory>

#include "core/files.h"
#include "data/prepare.h"
#include "data/self_copies.h"
#include "text/bytes_tokenizer.h"
#include "train/batch_loss.h"
#include "train/run_config.h"
#include "train/small_run.h"
#include "train/stage_batches.h"
#include "train/text_run.h"
#include "train/toml.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr const char* staged = R"([model]
hidden_size = 16
intermediate_size = 24
num_attention_heads = 2
slide_window = 12
decoder_layers = [1, 1]
encoder_layers = 1
enc_chunk_size = 8
chunk_topk = 2

[train]
lr = 1e-2
batch_size = 2
context_length = 64
checkpoint_every = 3
threads = 1
seed = 5
grad_accumulation_steps = 2

[[stages]]
steps = 4
batch_size = 3
context_length = 48
data = [{kind = "self-copies", length = [8, 20], gap = [0, 4]}]

[[stages]]
steps = 5
data = [
  {kind = "text", far_repeat_weight = 4},
  {kind = "self-copies", of = "text", length = [8, 30], copy_weight = 3, weight = 2},
]

[[stages]]
steps = 3
lr = 5e-3
context_length = 200
data = [{kind = "text"}, {kind = "needles", tasks = ["single"]}]
)";

class Stages : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder = std::make_unique<TemporaryFolder>();
    std::string text;
    for (int i = 0; i < 200; ++i) text += fmt::format("Line {} of the text.\n", i * i);
    write_file_atomic(folder->path() / "text.txt", text);
    prepare({.inputs = {folder->path() / "text.txt"}, .out = folder->path() / "data", .num_threads = 1}, tokenizer, {});
  }
  static void TearDownTestSuite() { folder.reset(); }

  static Json given(const std::string& text = staged) {
    return overlay({{"model", Json::object()}, {"train", Json::object()}},
                   overlay(parse_toml(text, "run.toml"), {{"data", {{"train", data()}}}}));
  }
  static std::string data() { return folder->path() / "data"; }

  static RunConfig config() { return parse_run_config(given(), "run.toml", VocabularyHint{tokenizer.vocab_size()}); }

  static std::unique_ptr<BatchSource> batches() {
    return make_stage_batches(config(), std::make_shared<TokenDataset>(data()), tokenizer);
  }

  // Trains in `run` as `lookback train` would, and stops after so many steps.
  static TrainResult go(const fs::path& run, std::int64_t stop_after, bool resume) {
    const RunConfig configuration = config();
    const auto model = make_model(configuration.model, at::kCPU, configuration.train.seed);
    const auto source = batches();
    StopSource stop;
    StepHook hook([&](const StepMetrics& metrics) {
      if (metrics.step == stop_after) stop.request_stop();
    });
    TrainIo io;
    io.run_folder = run;
    io.resume = resume;
    io.recorders = {&hook};
    io.stop = stop.token();
    return train(*model, *source, configuration.train, io);
  }

  static TrainResult train_text(const std::string& run, bool resume, const Json& sections) {
    const RunPlace place{"train", run, resume, {}};
    return train_on_text(
        place, overlay({{"model", Json::object()}, {"train", Json::object()}, {"data", Json::object()}}, sections),
        "run.toml", {}, {});
  }

  static const BytesTokenizer tokenizer;
  static std::unique_ptr<TemporaryFolder> folder;
};

const BytesTokenizer Stages::tokenizer;
std::unique_ptr<TemporaryFolder> Stages::folder;

// Inside of every stage, and at the ends of the first two, behind steps 4 and 9.
TEST_F(Stages, AStoppedRunGoesOnBitByBit) {
  const TemporaryFolder whole;
  go(whole.path(), -1, false);
  for (std::int64_t stop = 1; stop < 12; ++stop) {
    SCOPED_TRACE(stop);
    const TemporaryFolder run;
    const TrainResult stopped = go(run.path(), stop, false);
    EXPECT_TRUE(stopped.interrupted);
    EXPECT_EQ(stopped.steps, stop);
    EXPECT_EQ(go(run.path(), -1, true).steps, 12);
    expect_same_runs(run.path(), whole.path());
  }
}

TEST_F(Stages, MetricsNameTheStage) {
  const TemporaryFolder run;
  go(run.path(), -1, false);
  const std::vector<Json> lines = metrics_of(run.path());
  ASSERT_EQ(lines.size(), 12U);
  std::int64_t tokens = 0;
  for (std::size_t i = 0; i < 12; ++i) {
    EXPECT_EQ(lines[i].at("stage"), i < 4 ? 1 : i < 9 ? 2 : 3);
    if (i == 4 || i == 9) {
      EXPECT_EQ(lines[i].at("recent_loss"), lines[i].at("loss")) << "of the stage alone";
    }
    const std::int64_t now = lines[i].at("tokens");
    // Needles' samples have a length of their own.
    if (i < 9) {
      EXPECT_EQ(now - tokens, i < 4 ? 2 * 3 * 48 : 2 * 2 * 64) << i;
    }
    tokens = now;
  }
}

// However low the training loss of an earlier stage was.
TEST_F(Stages, WithoutValidationTheBestIsOfTheLastStage) {
  const TemporaryFolder run;
  const auto model = make_model(config().model, at::kCPU, 5);
  TrainConfig train_config = config().train;
  train_config.checkpoint_every = 2;
  // Losses of nothing at first.
  class Rising : public RandomBatches {
   public:
    using RandomBatches::RandomBatches;
    TokenBatch next() override {
      TokenBatch batch = RandomBatches::next();
      batch.loss_weights.assign(batch.labels.size(), 1e-3F * static_cast<float>(++num_made_));
      return batch;
    }

   private:
    int num_made_ = 0;
  };
  Rising source(2, 40, 32, 4);
  TrainIo io;
  io.run_folder = run.path();
  const TrainResult result = train(*model, source, train_config, io);
  EXPECT_EQ(result.best_step, 10) << "the first checkpoint of the third stage";
  EXPECT_EQ(fs::read_symlink(run.path() / "best"), "checkpoints/step-00000010");
  EXPECT_EQ(result.best_loss, metrics_of(run.path())[9].at("recent_loss"));
}

TEST_F(Stages, ReadWhatTheyAreToRead) {
  const auto source = batches();
  int num_text = 0;
  int num_copies = 0;
  int num_needles = 0;
  for (int i = 0; i < 24; ++i) {
    const TokenBatch batch = source->next();
    if (i < 8) {
      EXPECT_EQ(batch.num_sequences, 3);
      EXPECT_EQ(batch.length, 48);
      EXPECT_TRUE(batch.loss_weights.empty());
      continue;
    }
    EXPECT_EQ(batch.num_sequences, 2);
    ASSERT_EQ(batch.loss_weights.size(), batch.labels.size());
    if (i >= 18) {
      ++(batch.answer_positions.empty() ? num_text : num_needles);
      EXPECT_TRUE(batch.length == 200 || !batch.answer_positions.empty());
      continue;
    }
    EXPECT_EQ(batch.length, 64);
    // Two sequences of copies have no equal weights: some of their labels are copies.
    const auto [least, most] = std::ranges::minmax(batch.loss_weights);
    if (std::abs(most / least - 3) < 1e-4) ++num_copies;
  }
  EXPECT_GE(num_text, 1);
  EXPECT_GE(num_needles, 1);
  EXPECT_GE(num_copies, 3);
}

TEST_F(Stages, ARunMayBecomeLongerButNotAnother) {
  const TemporaryFolder out;
  const std::string run = out.path() / "run";
  EXPECT_EQ(train_text(run, false, given()).steps, 12);
  const std::string config = read_file(run + "/config.toml");
  EXPECT_THAT(config, HasSubstr("steps = 12\n"));
  EXPECT_THAT(config, HasSubstr("[[stages]]\nsteps = 5\n"));

  Json stages = parse_toml(staged, "run.toml")["stages"];
  stages[1]["data"][1]["copy_weight"] = 2;
  EXPECT_THAT(error_of([&] { train_text(run, true, {{"stages", stages}}); }), HasSubstr("course: [[stages]] 2: data;"));
  const auto lines_before = metrics_of(run);
  EXPECT_EQ(train_text(run, true, {{"train", {{"steps", 14}}}}).steps, 14);
  stages = read_toml_file(run + "/config.toml")["stages"];
  EXPECT_EQ(stages[2]["steps"], 5);
  stages.push_back({{"steps", 2}, {"data", {{{"kind", "text"}}}}});
  EXPECT_EQ(train_text(run, true, {{"stages", stages}}).steps, 16);
  const auto lines = metrics_of(run);
  ASSERT_EQ(lines.size(), 16U);
  for (std::size_t i = 0; i < 12; ++i) EXPECT_EQ(lines[i], lines_before[i]);
  EXPECT_EQ(lines[13]["stage"], 3);
  EXPECT_EQ(lines[15]["stage"], 4);
}

TEST_F(Stages, WhatCannotBeMadeIsNamedWithItsStage) {
  const TemporaryFolder out;
  Json sections = given();
  sections["stages"][2]["data"][1]["lengths"] = {24};
  EXPECT_THAT(error_of([&] { train_text(out.path() / "run", false, sections); }), HasSubstr("[[stages]] 3: "));
  sections = given();
  sections["stages"][0]["data"][0]["alphabet"] = 300;
  EXPECT_THAT(error_of([&] { train_text(out.path() / "run", false, sections); }),
              HasSubstr("[[stages]] 1: an alphabet of 300 tokens: the tokenizer has only 256"));
  sections = given();
  sections["stages"][1]["context_length"] = 20000;
  sections["stages"][1]["data"][1]["length"] = {9000, 9000};
  EXPECT_THAT(error_of([&] { train_text(out.path() / "run", false, sections); }),
              HasSubstr("too few for self-copies of 9000"));
  EXPECT_FALSE(fs::exists(out.path() / "run"));
}

// The loss is the weighted mean of the labels' negative log-likelihoods, and so is its gradient.
TEST(SelfCopyLoss, IsTheWeightedSumComputedDirectly) {
  ModelConfig config = tiny_drt();
  config.own<DrtConfig>().gumbel_noise = false;
  const auto model = make_model(config, at::kCPU, 5);
  // x of 9, 3 between, x, the end: 22 tokens, so that positions 12 to 20 of each 22 are copies.
  SelfCopiesConfig copies{.context_length = 50, .batch_size = 2, .length = {9, 9}, .gap = {3, 3}};
  copies.copy_weight = 3;
  copies.end_of_text_id = 30;
  const TokenBatch batch = make_random_self_copies(copies, {1, 2, 3, 4, 5, 6, 7, 8})->next();
  const StepLoss loss = accumulate_gradients(*model, std::vector<TokenBatch>{batch}, {});
  std::vector<at::Tensor> gradients;
  for (const auto& [name, parameter] : model->parameters().named()) gradients.push_back(parameter.grad().clone());
  model->parameters().zero_gradients();

  at::Tensor ids = at::empty({2, 50}, at::kLong);
  std::ranges::copy(batch.input_ids, ids.mutable_data_ptr<std::int64_t>());
  const at::Tensor log_likelihood =
      model->logits(model->hidden_states(ids, {})).flatten(0, 1).to(at::kDouble).log_softmax(-1);
  at::Tensor sum = at::zeros({}, at::kDouble);
  double weights = 0;
  for (std::int64_t i = 0; i < 100; ++i) {
    const std::int64_t token = i % 50 + 1;  // that is predicted, in its sequence
    const double weight = token % 22 >= 12 && token % 22 <= 20 ? 3 : 1;
    sum = sum - weight * log_likelihood[i][batch.labels[static_cast<std::size_t>(i)]];
    weights += weight;
  }
  const at::Tensor expected = sum / weights;
  expected.backward();
  EXPECT_NEAR(loss.loss.item<double>(), expected.item<double>(), 1e-6);
  std::size_t index = 0;
  for (const auto& [name, parameter] : model->parameters().named()) {
    const at::Tensor wanted = parameter.grad();
    const double scale = std::max(1e-6, wanted.abs().max().item<double>());
    EXPECT_LE((gradients[index++] - wanted).abs().max().item<double>() / scale, 1e-5) << name;
  }
}

}  // namespace
}  // namespace lookback
