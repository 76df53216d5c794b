// The loop as a whole: what it writes, and when it stops (resume_test.cpp: that a stopped run goes on).
#include "train/trainer.h"

#include <fmt/core.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "core/error.h"
#include "lookback/stop.h"
#include "models/model_folder.h"
#include "train/small_run.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST(Train, WritesMetricsCheckpointsAndPointers) {
  const TemporaryFolder folder;
  SmallRun run;
  std::int64_t heard = 0;
  const TrainResult result = run.go(folder.path(), short_run(), false, [&](const StepMetrics&) { ++heard; });
  EXPECT_EQ(result.steps, 40);
  EXPECT_EQ(heard, 40);
  EXPECT_EQ(result.tokens, 40 * 2 * 80);
  EXPECT_FALSE(result.interrupted);
  EXPECT_TRUE(std::isfinite(result.loss));
  const auto lines = metrics_of(folder.path());
  ASSERT_EQ(lines.size(), 40U);
  double best = INFINITY;
  std::int64_t best_step = 0;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i]["step"], i + 1);
    EXPECT_NEAR(lines[i]["perplexity"].get<double>(), std::exp(lines[i]["loss"].get<double>()), 1e-9);
    EXPECT_EQ(lines[i].contains("validation_loss"), (i + 1) % 5 == 0);
    if (lines[i].value("validation_loss", INFINITY) < best) {
      best = lines[i]["validation_loss"];
      best_step = static_cast<std::int64_t>(i) + 1;
    }
  }
  EXPECT_EQ(result.best_loss, best);
  EXPECT_EQ(result.best_step, best_step);
  EXPECT_EQ(fs::read_symlink(folder.path() / "last"), "checkpoints/step-00000040");
  EXPECT_EQ(fs::read_symlink(folder.path() / "best"), fmt::format("checkpoints/step-{:08}", best_step));
  std::int64_t num_checkpoints = 0;
  for (const auto& entry : fs::directory_iterator(folder.path() / "checkpoints")) {
    ++num_checkpoints;
    EXPECT_EQ(load_model(entry.path(), at::kCPU)->parameters().num_elements(), run.model->parameters().num_elements());
  }
  EXPECT_LE(num_checkpoints, 3) << "the last two and the best";
  EXPECT_THAT(error_of([&] { SmallRun().go(folder.path(), short_run(), false); }), HasSubstr("resume it"));
}

TEST(Train, LearnsWhatCanBeLearned) {
  // Each token is followed by the next number: a constant map that must be found.
  class Counting : public RandomBatches {
   public:
    using RandomBatches::RandomBatches;
    TokenBatch next() override {
      TokenBatch batch = RandomBatches::next();
      for (std::size_t i = 0; i < batch.labels.size(); ++i) batch.labels[i] = (batch.input_ids[i] + 1) % 32;
      return batch;
    }
  };
  for (const std::string& kind : model_kinds()) {
    const auto model = make_model(tiny_config(kind), at::kCPU, 3);
    Counting source(4, 40, 32, 4);
    TrainConfig config = short_run();
    config.steps = 80;
    config.lr = 1e-2;
    TrainIo io;
    double first = 0;
    StepHook hook([&](const StepMetrics& metrics) { first = metrics.step == 1 ? metrics.loss : first; });
    io.recorders = {&hook};
    const TrainResult result = train(*model, source, config, io);
    EXPECT_NEAR(first, std::log(33), 0.1) << kind;
    EXPECT_LT(result.loss, first / 2) << kind;
  }
}

TEST(Train, StopsWhenTheLossIsNoNumberAndNamesTheLastGoodCheckpoint) {
  const TemporaryFolder folder;
  SmallRun run;
  TrainConfig config = short_run();
  // What a diverging run does: some weight is no number any more.
  const auto spoil = [&run](const StepMetrics& metrics) {
    if (metrics.step == 7) run.model->embedding().detach().fill_(NAN);
  };
  const std::string message = error_of([&] { run.go(folder.path(), config, false, spoil); });
  EXPECT_THAT(message, HasSubstr("step-00000006"));
  EXPECT_THAT(message, HasSubstr("step 8"));
  EXPECT_TRUE(load_model(folder.path() / "last", at::kCPU)->embedding().isfinite().all().item<bool>());
}

TEST(Train, NeverSavesWeightsThatAreNoNumbers) {
  const TemporaryFolder folder;
  SmallRun run;
  const auto spoil = [&run](const StepMetrics& metrics) {
    if (metrics.step == 8) run.model->embedding().detach().fill_(NAN);  // just before the checkpoint of step 8
  };
  EXPECT_THAT(error_of([&] { run.go(folder.path(), short_run(), false, spoil); }), HasSubstr("step-00000006"));
  EXPECT_EQ(fs::read_symlink(folder.path() / "last"), "checkpoints/step-00000006");
}

TEST(Train, TwoProcessesCannotShareARunFolder) {
  const TemporaryFolder folder;
  SmallRun run;
  std::string message;
  TrainConfig config = short_run();
  config.steps = 2;
  run.go(folder.path(), config, false, [&](const StepMetrics& metrics) {
    if (metrics.step == 1) message = error_of([&] { SmallRun().go(folder.path(), short_run(), true); });
  });
  EXPECT_THAT(message, HasSubstr("another process"));
}

TEST(Train, TheTrainingLossIsTheMeanOfTheLastSteps) {
  const TemporaryFolder folder;
  SmallRun run;
  TrainConfig config = short_run();
  config.steps = 30;
  TrainIo io;
  io.run_folder = folder.path();
  // Without validation the recent loss chooses the best.
  const TrainResult result = train(*run.model, run.source, config, io);
  const auto lines = metrics_of(folder.path());
  double best = INFINITY;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::size_t first = i + 1 < recent_loss_steps ? 0 : i + 1 - recent_loss_steps;
    double sum = 0;
    for (std::size_t k = first; k <= i; ++k) sum += lines[k].at("loss").get<double>();
    const double mean = sum / static_cast<double>(i + 1 - first);
    EXPECT_NEAR(lines[i].at("recent_loss").get<double>(), mean, 1e-12) << i;
    if ((i + 1) % 2 == 0) best = std::min(best, lines[i].at("recent_loss").get<double>());
  }
  EXPECT_EQ(result.loss, lines.back().at("recent_loss"));
  EXPECT_EQ(result.best_loss, best);
}

// The batches of RandomBatches, of which one has a loss that is no number.
class Spoiled : public RandomBatches {
 public:
  using RandomBatches::RandomBatches;
  TokenBatch next() override {
    TokenBatch batch = RandomBatches::next();
    if (++num_made_ == spoiled) batch.loss_weights.assign(batch.labels.size(), std::numeric_limits<float>::infinity());
    return batch;
  }
  std::int64_t spoiled = 0;  // its number, from 1 on

 private:
  std::int64_t num_made_ = 0;
};

// However late its numbers are read, a step whose loss is no number is named, and no checkpoint knows of it.
TEST(Train, AStepThatDivergesIsNamedAndLeavesNoTrace) {
  TrainConfig config = short_run();
  config.grad_accumulation_steps = 1;
  config.schedule_steps = config.steps;
  config.steps = 8;
  const TemporaryFolder whole;
  SmallRun().go(whole.path(), config, false);
  for (const std::size_t most_unread : {0, 1, 3}) {
    SCOPED_TRACE(most_unread);
    const TemporaryFolder folder;
    const auto model = make_model(tiny_drt(), at::kCPU, 3);
    Spoiled source(2, 40, 32, 4);
    source.spoiled = 7;
    TrainIo io;
    io.run_folder = folder.path();
    io.most_unread_steps = most_unread;
    std::vector<std::int64_t> recorded;
    StepHook hook([&](const StepMetrics& metrics) { recorded.push_back(metrics.step); });
    io.recorders = {&hook};
    io.validate = [&model] { return ValidationResult{model->embedding().detach().abs().sum().item<double>(), 1}; };
    const std::string message = error_of([&] { train(*model, source, config, io); });
    EXPECT_THAT(message, HasSubstr("the loss of step 7"));
    EXPECT_THAT(message, HasSubstr("step-00000006"));
    EXPECT_THAT(recorded, testing::ElementsAre(1, 2, 3, 4, 5, 6));
    SmallRun().go(folder.path(), config, true);
    EXPECT_EQ(read_file(folder.path() / "last/model.safetensors"), read_file(whole.path() / "last/model.safetensors"));
  }
}

TEST(Train, ADivergedStepChangesNoWeight) {
  TrainConfig config = short_run();
  config.grad_accumulation_steps = 1;
  const auto run = [&config](std::int64_t steps, std::int64_t spoiled) {
    TrainConfig some = config;
    some.steps = steps;
    some.schedule_steps = config.steps;
    auto model = make_model(tiny_drt(), at::kCPU, 3);
    Spoiled source(2, 40, 32, 4);
    source.spoiled = spoiled;
    if (spoiled == 0) {
      train(*model, source, some, {});
    } else {
      error_of([&] { train(*model, source, some, {}); });
    }
    return model;
  };
  const auto expected = run(4, 0);
  const auto found = run(9, 5);
  for (const auto& [name, parameter] : expected->parameters().named()) {
    EXPECT_TRUE(at::equal(parameter, found->parameters().get(name))) << name;
  }
}

// Bit by bit, whether a step's numbers are read before the next one begins or not.
TEST(Train, UnreadStepsChangeNothing) {
  std::vector<std::string> weights;
  std::vector<std::vector<Json>> metrics;
  for (const std::size_t most_unread : {0, 1, 5}) {
    const TemporaryFolder folder;
    SmallRun run;
    TrainIo io;
    io.run_folder = folder.path();
    io.most_unread_steps = most_unread;
    TrainConfig config = short_run();
    config.checkpoint_every = 7;
    EXPECT_EQ(train(*run.model, run.source, config, io).steps, 40);
    weights.push_back(read_file(folder.path() / "last/model.safetensors") +
                      read_file(folder.path() / "last/trainer.json"));
    metrics.emplace_back();
    for (const Json& line : metrics_of(folder.path())) metrics.back().push_back(without_times(line));
  }
  EXPECT_EQ(weights[0], weights[1]);
  EXPECT_EQ(weights[0], weights[2]);
  EXPECT_EQ(metrics[0], metrics[1]);
  EXPECT_EQ(metrics[0], metrics[2]);
}

TEST(Train, StopsWhenAskedWithACheckpointOfAllThatWasDone) {
  const TemporaryFolder whole;
  SmallRun().go(whole.path(), short_run(), false);
  for (const std::size_t most_unread : {0, 1}) {
    const TemporaryFolder folder;
    SmallRun run;
    StopSource stop;
    TrainIo io;
    io.run_folder = folder.path();
    io.most_unread_steps = most_unread;
    io.validate = [&run] { return ValidationResult{run.model->embedding().detach().abs().sum().item<double>(), 1}; };
    StepHook hook([&](const StepMetrics& metrics) {
      if (metrics.step == 6) stop.request_stop();
    });
    io.recorders = {&hook};
    io.stop = stop.token();
    TrainConfig config = short_run();
    config.checkpoint_every = 0;
    const TrainResult result = train(*run.model, run.source, config, io);
    EXPECT_TRUE(result.interrupted);
    EXPECT_EQ(result.steps, 6 + static_cast<std::int64_t>(most_unread));
    EXPECT_EQ(fs::read_symlink(folder.path() / "last"), fmt::format("checkpoints/step-{:08}", result.steps));
    EXPECT_FALSE(SmallRun().go(folder.path(), config, true).interrupted);
    EXPECT_EQ(read_file(folder.path() / "last/model.safetensors"), read_file(whole.path() / "last/model.safetensors"));
  }
}

TEST(Train, LeavesTheSourceBehindTheBatchesThatWereUsed) {
  SmallRun run;
  TrainConfig config = short_run();
  config.steps = 3;
  TrainIo io;
  train(*run.model, run.source, config, io);
  RandomBatches fresh{2, 40, 32, 4};
  for (int i = 0; i < 6; ++i) fresh.next();
  EXPECT_EQ(run.source.next().input_ids, fresh.next().input_ids);
}

TEST(Train, WhatABatchSourceThrowsComesOut) {
  class Failing : public RandomBatches {
   public:
    using RandomBatches::RandomBatches;
    TokenBatch next() override {
      require(++num_made_ < 5, "the text is gone");
      return RandomBatches::next();
    }

   private:
    int num_made_ = 0;
  };
  SmallRun run;
  Failing source(2, 40, 32, 4);
  std::int64_t last = 0;
  TrainIo io;
  StepHook hook([&](const StepMetrics& metrics) { last = metrics.step; });
  io.recorders = {&hook};
  EXPECT_EQ(error_of([&] { train(*run.model, source, short_run(), io); }), "the text is gone");
  EXPECT_EQ(last, 2) << "four batches are two steps";
}

}  // namespace
}  // namespace lookback
