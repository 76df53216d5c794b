// Training that was stopped, killed or cut off by a full disk goes on bit by bit as if it never had been.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/file_size_limit.h"
#include "core/files.h"
#include "core/number_of_kills.h"
#include "core/random.h"
#include "models/model_folder.h"
#include "train/small_run.h"
#include "train/trainer.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST(Resume, BrokenCheckpointsAreNamed) {
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

TEST(Resume, GoesOnFromACheckpointBeforeABrokenOne) {
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
  EXPECT_THAT(message, HasSubstr("from-step 18"));
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

TEST(Resume, SaysWhenNoCheckpointIsWhole) {
  const TemporaryFolder folder;
  TrainConfig config = short_run();
  config.steps = 2;
  SmallRun().go(folder.path(), config, false);
  for (const auto& entry : fs::directory_iterator(folder.path() / "checkpoints")) {
    write_file_atomic(entry.path() / "trainer.json", "{");
  }
  EXPECT_THAT(error_of([&] { SmallRun().go(folder.path(), config, true); }), HasSubstr("begin a new one"));
}

TEST(Resume, GoesOnFromCheckpointsOfTheFirstProgram) {
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

TEST(Resume, MoreStepsLeaveTheFirstOnesAsTheyWere) {
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

// In its environment the next test finds where it is to train, as a child process of itself.
constexpr const char* child_folder = "LOOKBACK_TEST_RUN";

pid_t start_child(const fs::path& folder) {
  ::setenv(child_folder, folder.c_str(), 1);
  const char* arguments[] = {"train_tests", "--gtest_filter=Resume.AKilledProcessGoesOnBitByBit", "--gtest_brief=1",
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

TEST(Resume, AKilledProcessGoesOnBitByBit) {
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
TEST(Resume, GoesOnAfterAFullDiskBitByBit) {
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
