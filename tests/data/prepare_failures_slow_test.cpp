// Prepare on a machine whose file operations fail.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/error.h"
#include "core/failing_files.h"
#include "core/json.h"
#include "core/without_root.h"
#include "data/dataset_folder.h"
#include "data/prepare_runs.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;
constexpr int never = 1 << 30;
using ::testing::AnyOf;
using ::testing::HasSubstr;

// Two datasets of several shards, a journal behind each input, a document that is left out.
class PrepareFailures : public testing::Test {
 protected:
  void SetUp() override {
    const fs::path in = folder_.path() / "in";
    for (const char* name : {"a.txt", "b.md", "d.txt"}) write_bytes(in / name, generated_text(900, name[0]));
    write_bytes(in / "c.jsonl", "{\"text\": \"one\"}\n\n{\"text\":\n{\"text\": \"two\"}\n{\"text\": \"three\"}\n");
    write_bytes(in / "e.txt.gz", gzip_compressed(generated_text(700, 5)));
    prepare_bytes(config("whole"));
    whole_ = content_of(folder_.path() / "whole");
  }

  PrepareConfig config(const std::string& out) const {
    PrepareConfig config = small_config({folder_.path() / "in"}, folder_.path() / out);
    config.tokens_per_shard = 701;
    config.journal_every_bytes = 1;
    config.valid_fraction = 0.4;
    return config;
  }

  // Fails the operations one after another, each in a run of its own that is then done again.
  int fail_each(int error, bool lasting, const std::string& reason) {
    for (int n = 1;; ++n) {
      const PrepareConfig again = config("out" + std::to_string(n));
      bool failed = false;
      std::string message;
      {
        const FailingFiles failing(n, error, lasting);
        message = prepare_error(again);
        failed = failing.has_failed();
      }
      if (failed) {
        EXPECT_THAT(message, AnyOf(HasSubstr(reason), "(no error)")) << n;
      }
      if (message != "(no error)") {
        EXPECT_TRUE(failed) << message;
        const FailingFiles quick(never, 0);
        EXPECT_EQ(prepare_error(again), "(no error)") << n << ", after: " << message;
      }
      EXPECT_TRUE(content_of(again.out) == whole_) << n << ", after: " << message;
      fs::remove_all(again.out);
      if (!failed || HasFailure()) return n - 1;
    }
  }

  const TemporaryFolder folder_;
  std::string whole_;
};

TEST_F(PrepareFailures, AfterAnyOneItGoesOnToTheSameBytes) {
  const int num_failures = fail_each(EIO, false, "Input/output error");
  EXPECT_GT(num_failures, 100);
  RecordProperty("failures", num_failures);
}

TEST_F(PrepareFailures, AfterAFullDiskItGoesOnToTheSameBytes) {
  const int num_failures = fail_each(ENOSPC, true, "No space left on device");
  EXPECT_GT(num_failures, 100);
  RecordProperty("failures", num_failures);
}

TEST_F(PrepareFailures, InterruptedAndShortOperationsChangeNothing) {
  const FailingFiles failing(0, 0);
  EXPECT_EQ(prepare_error(config("out")), "(no error)");
  EXPECT_TRUE(content_of(folder_.path() / "out") == whole_);
}

TEST_F(PrepareFailures, AFolderThatMayNotBeWrittenIsNamed) {
  const fs::path out = folder_.path() / "read-only";
  fs::create_directory(out);
  const WithoutRoot user(folder_.path());
  fs::permissions(out, fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_THAT(prepare_error(config("read-only")), HasSubstr((out / "prepare.json").string() + ": Permission denied"));
  fs::permissions(out, fs::perms::owner_all);
  EXPECT_EQ(prepare_error(config("read-only")), "(no error)");
  EXPECT_TRUE(content_of(out) == whole_);
}

}  // namespace
}  // namespace lookback
