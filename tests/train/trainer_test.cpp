// The loop as a whole: what it writes, when it stops, and that a stopped run goes on bit by bit as if it never had.
#include "train/trainer.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <gmock/gmock.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <limits>
#include <thread>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/file_size_limit.h"
#include "core/files.h"
#include "core/number_of_kills.h"
#include "core/random.h"
#include "lookback/stop.h"
#include "models/model_folder.h"
#include "train/train_helpers.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TrainConfig short_run() {
  TrainConfig config;
  config.steps = 40;
  config.warmup_steps = 3;
  config.seed = 11;
  config.checkpoint_every = 2;
  config.validate_every = 5;
  config.grad_accumulation_steps = 2;
  return config;
}

// Tells a function of each step.
class StepHook : public TrainRecorder {
 public:
  explicit StepHook(std::function<void(const StepMetrics&)> on_step) : on_step_(std::move(on_step)) {}
  void record(const StepMetrics& metrics) override {
    if (on_step_) on_step_(metrics);
  }

 private:
  std::function<void(const StepMetrics&)> on_step_;
};

struct SmallRun {
  std::unique_ptr<Model> model = make_model(tiny_drt(), at::kCPU, 3);
  RandomBatches source{2, 40, 32, 4};

  TrainResult go(const fs::path& folder, const TrainConfig& config, bool resume,
                 std::function<void(const StepMetrics&)> on_step = {}) {
    TrainIo io;
    io.run_folder = folder;
    io.resume = resume;
    StepHook hook(std::move(on_step));
    io.recorders = {&hook};
    // Any number that follows from the weights.
    io.validate = [this] { return ValidationResult{model->embedding().detach().abs().sum().item<double>(), 1}; };
    return train(*model, source, config, io);
  }
};

std::vector<Json> metrics_of(const fs::path& run) {
  std::vector<Json> lines;
  std::ifstream file(run / "metrics.jsonl");
  for (std::string line; std::getline(file, line);) lines.push_back(Json::parse(line));
  return lines;
}

// Without what a clock decides.
Json without_times(Json line) {
  line.erase("tokens_per_second");
  return line;
}

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
  EXPECT_THAT(error_of([&] { SmallRun().go(folder.path(), short_run(), false); }), HasSubstr("--resume"));
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

TEST(Train, BrokenCheckpointsAreNamed) {
  const TemporaryFolder folder;
  TrainConfig config = short_run();
  config.steps = 2;
  SmallRun().go(folder.path(), config, false);
  const fs::path last = folder.path() / "last";
  for (const char* name : {"trainer.json", "optimizer.safetensors", "model.safetensors"}) {
    const std::string content = read_file(last / name);
    for (const std::string& broken : {std::string(), content.substr(0, content.size() / 2)}) {
      write_file_atomic(last / name, broken);
      EXPECT_THAT(error_of([&] { SmallRun().go(folder.path(), config, true); }), HasSubstr(name));
    }
    write_file_atomic(last / name, content);
  }
  EXPECT_EQ(SmallRun().go(folder.path(), config, true).steps, 2) << "a finished run is left as it is";
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

TEST(Train, GoesOnFromACheckpointBeforeABrokenOne) {
  const TemporaryFolder whole;
  SmallRun().go(whole.path(), short_run(), false);
  const TemporaryFolder folder;
  TrainConfig config = short_run();
  config.steps = 20;
  config.schedule_steps = 40;
  SmallRun().go(folder.path(), config, false);
  write_file_atomic(folder.path() / "last/model.safetensors", "torn");
  config.steps = 40;
  const std::string message = error_of([&] { SmallRun().go(folder.path(), config, true); });
  EXPECT_THAT(message, HasSubstr("step-00000020/model.safetensors"));
  EXPECT_THAT(message, HasSubstr("--from-step 18"));
  SmallRun run;
  TrainIo io;
  io.run_folder = folder.path();
  io.resume = true;
  io.validate = [&run] { return ValidationResult{run.model->embedding().detach().abs().sum().item<double>(), 1}; };
  io.from_step = 17;
  EXPECT_THAT(error_of([&] { train(*run.model, run.source, config, io); }), HasSubstr("no checkpoint of step 17"));
  io.from_step = 18;
  EXPECT_EQ(train(*run.model, run.source, config, io).steps, 40);
  EXPECT_EQ(read_file(folder.path() / "checkpoints/aside-step-00000020/model.safetensors"), "torn");
  for (const char* file : {"model.safetensors", "optimizer.safetensors"}) {
    EXPECT_TRUE(read_file(folder.path() / "last" / file) == read_file(whole.path() / "last" / file)) << file;
  }
  EXPECT_TRUE(fs::exists(folder.path() / "best"));
}

TEST(Train, SaysWhenNoCheckpointIsWhole) {
  const TemporaryFolder folder;
  TrainConfig config = short_run();
  config.steps = 2;
  SmallRun().go(folder.path(), config, false);
  for (const auto& entry : fs::directory_iterator(folder.path() / "checkpoints")) {
    write_file_atomic(entry.path() / "trainer.json", "{");
  }
  EXPECT_THAT(error_of([&] { SmallRun().go(folder.path(), config, true); }), HasSubstr("begin a new one"));
}

TEST(Train, GoesOnFromCheckpointsOfTheFirstProgram) {
  const TemporaryFolder folder;
  TrainConfig config = short_run();
  config.steps = 2;
  config.schedule_steps = 40;
  SmallRun().go(folder.path(), config, false);
  Json trainer = read_json_file(folder.path() / "last/trainer.json");
  trainer.erase("recent_losses");
  trainer["running_loss"] = 3.5;
  write_json_file(folder.path() / "last/trainer.json", trainer);
  config.steps = 4;
  EXPECT_EQ(SmallRun().go(folder.path(), config, true).steps, 4);
}

TEST(Train, MoreStepsLeaveTheFirstOnesAsTheyWere) {
  const TemporaryFolder folder;
  TrainConfig config = short_run();
  config.steps = 8;
  config.min_lr = 1e-5;
  SmallRun().go(folder.path(), config, false);
  const auto before = metrics_of(folder.path());
  config.steps = 12;
  config.schedule_steps = 8;
  EXPECT_EQ(SmallRun().go(folder.path(), config, true).steps, 12);
  const auto after = metrics_of(folder.path());
  ASSERT_EQ(after.size(), 12U);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(after[i], before[i]);
  for (std::size_t i = 8; i < 12; ++i) EXPECT_EQ(after[i].at("lr"), 1e-5);
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

// In its environment the next test finds where it is to train, as a child process of itself.
constexpr const char* child_folder = "LOOKBACK_TEST_RUN";

pid_t start_child(const fs::path& folder) {
  ::setenv(child_folder, folder.c_str(), 1);
  const char* arguments[] = {"train_tests", "--gtest_filter=Train.AKilledProcessGoesOnBitByBit", "--gtest_brief=1",
                             nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = -1;
  const int code = ::posix_spawn(&child, "/proc/self/exe", &actions, nullptr, const_cast<char**>(arguments), environ);
  posix_spawn_file_actions_destroy(&actions);
  EXPECT_EQ(code, 0);
  return child;
}

bool is_running(pid_t child, int& status) { return ::waitpid(child, &status, WNOHANG) == 0; }

// Trains in `folder` in child processes, of which most_kills at most are killed; returns how many were.
int train_and_kill(const fs::path& folder, int most_kills, Random& random) {
  const fs::path metrics = folder / "metrics.jsonl";
  int num_kills = 0;
  int status = -1;
  for (int attempt = 0; attempt < 80; ++attempt) {
    const pid_t child = start_child(folder);
    const bool kill_this = num_kills < most_kills;
    const auto size_before = fs::exists(metrics) ? fs::file_size(metrics) : 0;
    bool running = true;
    // Let it come to its steps, then strike at any moment of the next ones: in a step, in a line, in a checkpoint.
    while ((running = is_running(child, status)) && kill_this &&
           (!fs::exists(metrics) || fs::file_size(metrics) <= size_before)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (running && kill_this) {
      std::this_thread::sleep_for(std::chrono::microseconds(random.below(60'000)));
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
      if (WIFSIGNALED(status)) ++num_kills;
      // Whatever moment it was, there is a whole checkpoint.
      EXPECT_NO_THROW(load_model(folder / "last", at::kCPU));
    } else if (running) {
      ::waitpid(child, &status, 0);
    }
    if (WIFEXITED(status)) break;
  }
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  return num_kills;
}

// Bit by bit, but for what a clock decides.
void expect_same_runs(const fs::path& run, const fs::path& whole) {
  for (const char* name : {"last", "best"}) {
    EXPECT_EQ(fs::read_symlink(run / name), fs::read_symlink(whole / name));
    for (const char* file : {"model.safetensors", "optimizer.safetensors", "trainer.json"}) {
      EXPECT_EQ(read_file(run / name / file), read_file(whole / name / file)) << name << "/" << file;
    }
  }
  const auto lines = metrics_of(run);
  const auto expected = metrics_of(whole);
  ASSERT_EQ(lines.size(), expected.size());
  for (std::size_t i = 0; i < lines.size(); ++i) EXPECT_EQ(without_times(lines[i]), without_times(expected[i]));
  for (const auto& entry : fs::directory_iterator(run / "checkpoints")) {
    EXPECT_FALSE(entry.path().filename().string().starts_with(".")) << entry.path();
  }
}

TEST(Train, AKilledProcessGoesOnBitByBit) {
  if (const char* const folder = std::getenv(child_folder)) {
    SmallRun().go(folder, short_run(), true);
    return;
  }
  const TemporaryFolder whole;
  SmallRun().go(whole.path(), short_run(), false);

  Random random(static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()));
  const int most_kills = number_of_kills().value_or(5);
  int num_kills = 0;
  for (bool first = true; first || num_kills < most_kills; first = false) {
    const TemporaryFolder folder;
    const int killed = train_and_kill(folder.path(), std::min(20, most_kills - num_kills), random);
    EXPECT_GE(killed, 1);
    expect_same_runs(folder.path(), whole.path());
    num_kills += killed;
    if (HasFailure() || killed == 0 || !number_of_kills()) break;
  }
  RecordProperty("kills", num_kills);
}

// At any place of any file of a checkpoint, and of the log.
TEST(Train, GoesOnAfterAFullDiskBitByBit) {
  TrainConfig config = short_run();
  config.steps = 8;
  config.grad_accumulation_steps = 1;
  const TemporaryFolder whole;
  SmallRun().go(whole.path(), config, false);
  std::uintmax_t largest = 0;
  for (const auto& entry : fs::recursive_directory_iterator(whole.path())) {
    if (entry.is_regular_file()) largest = std::max(largest, entry.file_size());
  }

  constexpr std::uintmax_t num_sizes = 25;
  for (std::uintmax_t i = 0; i < num_sizes; ++i) {
    // Closer together where the small files end.
    const std::uintmax_t size = (largest - 1) * i * i / ((num_sizes - 1) * (num_sizes - 1));
    SCOPED_TRACE(size);
    const TemporaryFolder folder;
    const auto stop_in_step_5 = [](const StepMetrics& step) { require(step.step != 5, "stopped"); };
    EXPECT_EQ(error_of([&] { SmallRun().go(folder.path(), config, false, stop_in_step_5); }), "stopped");
    const fs::path last_before = fs::read_symlink(folder.path() / "last");
    const std::string saved = read_file(folder.path() / "last/model.safetensors");
    {
      const FileSizeLimit limit(size);
      EXPECT_NE(error_of([&] { SmallRun().go(folder.path(), config, true); }), "");
    }
    // The failed process may have saved step 6; what it could not save changes nothing.
    const bool same_step = fs::read_symlink(folder.path() / "last") == last_before;
    EXPECT_TRUE(!same_step || read_file(folder.path() / "last/model.safetensors") == saved);
    SmallRun().go(folder.path(), config, true);
    expect_same_runs(folder.path(), whole.path());
  }
}

}  // namespace
}  // namespace lookback
