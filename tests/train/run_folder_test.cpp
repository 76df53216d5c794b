#include "train/run_folder.h"

#include <gmock/gmock.h>

#include "core/error.h"
#include "core/files.h"
#include "train/metrics.h"
#include "train/train_helpers.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

void fill(const fs::path& folder) { write_file_atomic(folder / "content", "x"); }

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  return names;
}

TEST(RunFolder, KeepsTheBestAndTheNewest) {
  const TemporaryFolder temporary;
  RunFolder run(temporary.path());
  EXPECT_FALSE(run.last_checkpoint().has_value());
  for (std::int64_t step = 1; step <= 6; ++step) run.save(step, step >= 2 ? 2 : step, 2, fill);
  EXPECT_THAT(names_in(temporary.path() / "checkpoints"),
              testing::UnorderedElementsAre("step-00000002", "step-00000005", "step-00000006"));
  EXPECT_EQ(run.last_checkpoint()->filename(), "step-00000006");
  EXPECT_EQ(fs::read_symlink(temporary.path() / "best"), "checkpoints/step-00000002");
}

TEST(RunFolder, AFailedSaveLeavesThePreviousCheckpoint) {
  const TemporaryFolder temporary;
  RunFolder run(temporary.path());
  run.save(1, 0, 2, fill);
  EXPECT_THROW(run.save(2, 0, 2, [](const fs::path&) { fail("the disk is full"); }), Error);
  EXPECT_EQ(run.last_checkpoint()->filename(), "step-00000001");
  EXPECT_THAT(names_in(temporary.path() / "checkpoints"), testing::ElementsAre("step-00000001"));
}

TEST(RunFolder, RecoverClearsWhatACrashLeft) {
  const TemporaryFolder temporary;
  RunFolder run(temporary.path());
  for (const std::int64_t step : {1, 2, 3}) run.save(step, 1, 9, fill);
  const fs::path checkpoints = temporary.path() / "checkpoints";
  fs::create_directory(checkpoints / ".unfinished-step-00000004");
  fs::create_symlink("checkpoints/step-00000004", temporary.path() / "last.tmp");
  run.recover(2, 2);
  EXPECT_THAT(names_in(checkpoints), testing::UnorderedElementsAre("step-00000001", "step-00000002"));
  EXPECT_EQ(fs::read_symlink(temporary.path() / "best"), "checkpoints/step-00000002");
  EXPECT_FALSE(fs::is_symlink(temporary.path() / "last.tmp"));
}

TEST(MetricsLog, KeepsWholeLinesUpToTheCheckpoint) {
  const TemporaryFolder temporary;
  const fs::path path = temporary.path() / "metrics.jsonl";
  write_file_atomic(path, "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n{\"st");
  {
    MetricsLog log(path, 2);
    StepMetrics metrics;
    metrics.step = 3;
    log.record(metrics);
  }
  const std::string content = read_file(path);
  EXPECT_THAT(content, testing::StartsWith("{\"step\":1}\n{\"step\":2}\n{\"step\":3,\"loss\":"));
  EXPECT_EQ(std::count(content.begin(), content.end(), '\n'), 3);
}

}  // namespace
}  // namespace lookback
