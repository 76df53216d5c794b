// A comparison whose steps are answered by the test instead of the program.
#include "eval/compare_run.h"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "core/error.h"
#include "core/failing_files.h"
#include "core/files.h"
#include "core/stop.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

class CompareRunTest : public testing::Test {
 protected:
  void SetUp() override {
    const Json run = {{"model", Json::object()}, {"train", {{"steps", 3}}}};
    plan_.models = {{"a", "drt", {0, 1}, "", run, 100}, {"b", "sliding-window", {7}, "", run, 101}};
    plan_.contexts = "1K";
    setting_ = {.out = folder_ / "out", .data = "d", .valid = "v", .prompt_ids = {1, 2, 3}, .program = "lookback"};
    listener_.run = [this](const std::vector<std::string>& command) {
      commands_.push_back(fmt::format("{}", fmt::join(command, " ")));
      const std::string output =
          command.at(1) == "train" || command.at(1) == "finetune" ? "trained" : R"({"results": [{"perplexity": 4.5}]})";
      return ProcessResult{exit_code_, output, 2.5, 1000};
    };
  }
  void TearDown() override { fs::remove_all(folder_); }

  const fs::path folder_ = fs::temp_directory_path() / ("lookback_compare" + std::to_string(::getpid()));
  ComparePlan plan_;
  CompareSetting setting_;
  CompareListener listener_;
  std::vector<std::string> commands_;
  int exit_code_ = 0;
};

TEST_F(CompareRunTest, EveryModelAndSeedIsTrainedAndMeasuredOnce) {
  EXPECT_TRUE(run_compare(plan_, setting_, listener_));
  const std::string out = (folder_ / "out").string();
  ASSERT_EQ(commands_.size(), 9U);
  // A seed of every model before the next seed.
  EXPECT_EQ(commands_[0],
            fmt::format("lookback train --out {0}/runs/a-seed0 --config {0}/configs/a.toml --data d --valid "
                        "v --seed 0",
                        out));
  EXPECT_EQ(commands_[1],
            fmt::format("lookback eval perplexity --data v --context 1K --max-tokens 256K --max-document-tokens 64K "
                        "--model {}/runs/a-seed0 --json",
                        out));
  EXPECT_THAT(commands_[2], HasSubstr("generate --prompt-ids " + out + "/prompt-3.json"));
  EXPECT_THAT(commands_[2], HasSubstr("--model " + out + "/runs/a-seed0"));
  EXPECT_THAT(commands_[3], HasSubstr("/runs/b-seed7"));
  EXPECT_THAT(commands_[6], HasSubstr("/runs/a-seed1"));
  EXPECT_THAT(read_json_file(folder_ / "out/prompt-3.json").at("ids").get<std::vector<int>>(), ElementsAre(1, 2, 3));
  EXPECT_TRUE(run_compare(plan_, setting_, listener_));
  EXPECT_EQ(commands_.size(), 9U) << "what is done is not done again";

  const std::vector<CompareResult> results = read_compare_results(plan_, setting_.out);
  ASSERT_EQ(results.size(), 3U);
  EXPECT_EQ(results[1].seed, 1);
  EXPECT_EQ(results[2].model, "b");
  EXPECT_EQ(results[2].train.at("output"), "trained");
  EXPECT_EQ(results[2].perplexity.at("output").at("results").at(0).at("perplexity"), 4.5);
  EXPECT_EQ(results[2].speed.at("peak_resident_bytes"), 1000);
}

TEST_F(CompareRunTest, StopsAndGoesOn) {
  exit_code_ = 130;
  EXPECT_FALSE(run_compare(plan_, setting_, listener_));
  EXPECT_EQ(commands_.size(), 1U);
  // The interrupted training has begun its run folder.
  fs::create_directories(folder_ / "out/runs/a-seed0");
  write_file_atomic(folder_ / "out/runs/a-seed0/config.toml", "");
  exit_code_ = 0;
  StopSource stop;
  int begun = 0;
  listener_.begins = [&](const std::string&) {
    if (++begun == 4) stop.request_stop();
  };
  listener_.stop = stop.token();
  EXPECT_FALSE(run_compare(plan_, setting_, listener_));
  EXPECT_THAT(commands_[1], HasSubstr("/runs/a-seed0 --resume"));
  EXPECT_EQ(commands_.size(), 5U);
  const std::vector<CompareResult> some = read_compare_results(plan_, setting_.out);
  EXPECT_TRUE(some[2].perplexity.is_null());
  EXPECT_FALSE(is_complete(plan_, some));
  listener_.stop = {};
  EXPECT_TRUE(run_compare(plan_, setting_, listener_));
  EXPECT_EQ(commands_.size(), 10U);
  EXPECT_TRUE(is_complete(plan_, read_compare_results(plan_, setting_.out)));
}

TEST_F(CompareRunTest, AFailedStepIsNamedAndTriedAgain) {
  exit_code_ = 1;
  EXPECT_THAT([&] { run_compare(plan_, setting_, listener_); },
              ThrowsMessage<Error>(HasSubstr("lookback train --out")));
  exit_code_ = 0;
  EXPECT_TRUE(run_compare(plan_, setting_, listener_));
  EXPECT_EQ(commands_.size(), 10U);
}

// Every operation on a file fails once by itself, and once as the first on a disk that is full from then on.
TEST_F(CompareRunTest, WhateverFileOperationFailsItGoesOnToTheSameResults) {
  const auto written = [this] {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(folder_ / "out")) {
      if (entry.is_regular_file()) files[entry.path().string()] = read_file(entry.path());
    }
    return files;
  };
  ASSERT_TRUE(run_compare(plan_, setting_, listener_));
  const std::map<std::string, std::string> expected = written();
  for (const bool full : {false, true}) {
    int operation = 0;
    for (bool failed = true; failed;) {
      fs::remove_all(folder_);
      commands_.clear();
      {
        const FailingFiles failing(++operation, full ? ENOSPC : EIO, full);
        try {
          run_compare(plan_, setting_, listener_);
        } catch (const Error& error) {
          EXPECT_THAT(error.what(), HasSubstr(folder_.string()));
        }
        failed = failing.has_failed();
      }
      EXPECT_TRUE(run_compare(plan_, setting_, listener_));
      EXPECT_LE(commands_.size(), 10U) << "only the step whose result was lost is done again";
      EXPECT_EQ(written(), expected) << "operation " << operation << (full ? " of a full disk" : "");
    }
    EXPECT_GT(operation, 40);
    RecordProperty(full ? "full_disks" : "failures", operation - 1);
  }
}

TEST_F(CompareRunTest, NeedlesAreAskedForAfterTrainingFurther) {
  run_compare(plan_, setting_, listener_);
  plan_.needles = NeedlePlan{.task = "multi", .steps = 7};
  EXPECT_TRUE(run_compare(plan_, setting_, listener_));
  ASSERT_EQ(commands_.size(), 15U) << "two more steps for each of three runs";
  const std::string out = (folder_ / "out").string();
  EXPECT_EQ(commands_[9], fmt::format("lookback finetune --task multi --steps 7 --lr 0.0005 --batch-size 4 --length 1K "
                                      "--model {0}/runs/a-seed0 --out {0}/finetuned/a-seed0",
                                      out));
  EXPECT_EQ(commands_[10], fmt::format("lookback eval needle --task multi --lengths 1K,4K,16K --samples 20 --model "
                                       "{0}/finetuned/a-seed0 --json",
                                       out));
  EXPECT_FALSE(read_compare_results(plan_, setting_.out)[2].needles.is_null());
  // One that was interrupted goes on.
  fs::create_directories(folder_ / "out/finetuned/a-seed0");
  write_file_atomic(folder_ / "out/finetuned/a-seed0/config.toml", "");
  fs::remove(folder_ / "out/results/a-seed0.finetune.json");
  EXPECT_TRUE(run_compare(plan_, setting_, listener_));
  EXPECT_THAT(commands_.back(), HasSubstr("--out " + out + "/finetuned/a-seed0 --resume"));
}

TEST_F(CompareRunTest, WhatIsNewIsAddedAndWhatIsMeasuredOtherwiseIsMeasuredAgain) {
  run_compare(plan_, setting_, listener_);
  plan_.models[1].seeds = {7, 8};
  plan_.models.push_back({"c", "drt", {0}, "", plan_.models[0].run, 100});
  EXPECT_TRUE(run_compare(plan_, setting_, listener_));
  EXPECT_EQ(commands_.size(), 15U);
  plan_.contexts = "4K";
  EXPECT_TRUE(run_compare(plan_, setting_, listener_));
  EXPECT_EQ(commands_.size(), 20U) << "the perplexities of five runs";
  EXPECT_THAT(commands_.back(), HasSubstr("--context 4K"));
  plan_.models[2].contexts = "1K";
  EXPECT_TRUE(run_compare(plan_, setting_, listener_));
  EXPECT_EQ(commands_.size(), 21U) << "the one model that is measured with others";
  EXPECT_THAT(commands_.back(), HasSubstr("--context 1K"));
}

TEST_F(CompareRunTest, OtherTrainingAndOtherDataAreRefused) {
  run_compare(plan_, setting_, listener_);
  plan_.models[0].run["train"]["steps"] = 4;
  EXPECT_THAT([&] { run_compare(plan_, setting_, listener_); },
              ThrowsMessage<Error>(HasSubstr("holds a model a that was trained otherwise")));
  // Also of one that was left out for a while.
  const CompareModel other = plan_.models[0];
  plan_.models.erase(plan_.models.begin());
  EXPECT_TRUE(run_compare(plan_, setting_, listener_));
  plan_.models.push_back(other);
  EXPECT_THAT([&] { run_compare(plan_, setting_, listener_); },
              ThrowsMessage<Error>(HasSubstr("holds a model a that was trained otherwise")));
  plan_.models.back().run["train"]["steps"] = 3;
  EXPECT_TRUE(run_compare(plan_, setting_, listener_));
  EXPECT_EQ(commands_.size(), 9U);
  setting_.valid = "w";
  EXPECT_THAT([&] { run_compare(plan_, setting_, listener_); },
              ThrowsMessage<Error>(HasSubstr("holds a comparison on other data")));
}

TEST_F(CompareRunTest, EachDeviceHasOneRunAtATime) {
  setting_.devices = {"cuda:0", "cuda:1"};
  std::mutex mutex;
  std::map<std::string, std::vector<std::string>> by_device;
  std::set<std::string> busy;
  const auto answer = listener_.run;
  listener_.run = [&](const std::vector<std::string>& command) {
    const std::string device = *(std::ranges::find(command, "--device") + 1);
    {
      const std::lock_guard lock(mutex);
      EXPECT_TRUE(busy.insert(device).second) << device << " has two runs at a time";
      EXPECT_THAT(command, testing::Contains("--quiet"));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const std::lock_guard lock(mutex);
    busy.erase(device);
    by_device[device].push_back(command.at(1));
    return answer(command);
  };
  EXPECT_TRUE(run_compare(plan_, setting_, listener_));
  EXPECT_EQ(by_device["cuda:0"].size() + by_device["cuda:1"].size(), 9U);
  EXPECT_EQ(by_device.size(), 2U);
  EXPECT_EQ(by_device["cuda:1"].size() % 3, 0U) << "all steps of a run on one device";
}

}  // namespace
}  // namespace lookback
