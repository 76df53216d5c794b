// A comparison whose steps are answered by the test instead of the program.
#include "eval/compare_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "core/error.h"
#include "core/failing_files.h"
#include "core/files.h"
#include "eval/compare_step.h"
#include "lookback/stop.h"

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
    setting_ = {.out = folder_ / "out", .data = "d", .valid = "v", .prompt_ids = {1, 2, 3}, .step_command = {"do"}};
    listener_.run = [this](const std::vector<std::string>& command) {
      EXPECT_EQ(command.size(), 2U);
      EXPECT_EQ(command.at(0), "do");
      steps_.push_back(parse_compare_step(read_json_file(command.at(1)), command.at(1)));
      return ProcessResult{exit_code_, R"({"results": [{"perplexity": 4.5}]})", 2.5, 1000};
    };
  }
  void TearDown() override { fs::remove_all(folder_); }

  const fs::path folder_ = fs::temp_directory_path() / ("lookback_compare" + std::to_string(::getpid()));
  ComparePlan plan_;
  CompareSetting setting_;
  CompareListener listener_;
  std::vector<CompareStep> steps_;  // that were begun
  int exit_code_ = 0;
};

TEST_F(CompareRunTest, EveryModelAndSeedIsTrainedAndMeasuredOnce) {
  EXPECT_TRUE(run_compare(plan_, setting_, listener_));
  ASSERT_EQ(steps_.size(), 9U);
  // A seed of every model before the next seed.
  const fs::path out = folder_ / "out";
  const auto train = std::get<TrainStep>(steps_[0].work);
  EXPECT_EQ(train.out, out / "runs/a-seed0");
  EXPECT_EQ(train.config, out / "configs/a.toml");
  EXPECT_EQ(train.data, "d");
  EXPECT_EQ(train.valid, "v");
  EXPECT_EQ(train.seed, 0);
  const auto perplexity = std::get<PerplexityStep>(steps_[1].work);
  EXPECT_EQ(perplexity.model, out / "runs/a-seed0");
  EXPECT_EQ(perplexity.data, "v");
  EXPECT_EQ(perplexity.contexts, "1K");
  EXPECT_EQ(perplexity.max_tokens, "256K");
  EXPECT_EQ(perplexity.max_document_tokens, "64K");
  const auto speed = std::get<SpeedStep>(steps_[2].work);
  EXPECT_EQ(speed.model, out / "runs/a-seed0");
  EXPECT_EQ(speed.prompt, out / "prompt-3.json");
  EXPECT_EQ(speed.new_tokens, 256);
  EXPECT_EQ(std::get<TrainStep>(steps_[3].work).out, out / "runs/b-seed7");
  EXPECT_EQ(std::get<TrainStep>(steps_[6].work).out, out / "runs/a-seed1");
  EXPECT_EQ(std::get<TrainStep>(steps_[6].work).seed, 1);
  EXPECT_THAT(read_json_file(out / "prompt-3.json").at("ids").get<std::vector<int>>(), ElementsAre(1, 2, 3));
  EXPECT_TRUE(run_compare(plan_, setting_, listener_));
  EXPECT_EQ(steps_.size(), 9U) << "what is done is not done again";

  const std::vector<CompareResult> results = read_compare_results(plan_, setting_.out);
  ASSERT_EQ(results.size(), 3U);
  EXPECT_EQ(results[1].seed, 1);
  EXPECT_EQ(results[2].model, "b");
  EXPECT_EQ(results[2].train.at("command"), "do " + (out / "steps/b-seed7.train.json").string());
  EXPECT_EQ(results[2].perplexity.at("output").at("results").at(0).at("perplexity"), 4.5);
  EXPECT_EQ(results[2].speed.at("peak_resident_bytes"), 1000);
}

TEST_F(CompareRunTest, StopsAndGoesOn) {
  exit_code_ = 130;
  EXPECT_FALSE(run_compare(plan_, setting_, listener_));
  EXPECT_EQ(steps_.size(), 1U);
  exit_code_ = 0;
  StopSource stop;
  int begun = 0;
  listener_.begins = [&](const std::string&) {
    if (++begun == 4) stop.request_stop();
  };
  listener_.stop = stop.token();
  EXPECT_FALSE(run_compare(plan_, setting_, listener_));
  EXPECT_EQ(std::get<TrainStep>(steps_[1].work).out, folder_ / "out/runs/a-seed0");
  EXPECT_EQ(steps_.size(), 5U);
  const std::vector<CompareResult> some = read_compare_results(plan_, setting_.out);
  EXPECT_TRUE(some[2].perplexity.is_null());
  EXPECT_FALSE(is_complete(plan_, some));
  listener_.stop = {};
  EXPECT_TRUE(run_compare(plan_, setting_, listener_));
  EXPECT_EQ(steps_.size(), 10U);
  EXPECT_TRUE(is_complete(plan_, read_compare_results(plan_, setting_.out)));
}

TEST_F(CompareRunTest, AFailedStepIsNamedAndTriedAgain) {
  exit_code_ = 1;
  EXPECT_THAT([&] { run_compare(plan_, setting_, listener_); },
              ThrowsMessage<Error>(HasSubstr("do " + (folder_ / "out/steps/a-seed0.train.json").string())));
  exit_code_ = 0;
  EXPECT_TRUE(run_compare(plan_, setting_, listener_));
  EXPECT_EQ(steps_.size(), 10U);
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
      steps_.clear();
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
      EXPECT_LE(steps_.size(), 10U) << "only the step whose result was lost is done again";
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
  ASSERT_EQ(steps_.size(), 15U) << "two more steps for each of three runs";
  const fs::path out = folder_ / "out";
  const auto finetune = std::get<FinetuneStep>(steps_[9].work);
  EXPECT_EQ(finetune.model, out / "runs/a-seed0");
  EXPECT_EQ(finetune.out, out / "finetuned/a-seed0");
  EXPECT_EQ(finetune.task, "multi");
  EXPECT_EQ(finetune.lengths, "1K");
  EXPECT_EQ(finetune.steps, 7);
  EXPECT_EQ(finetune.lr, 5e-4);
  EXPECT_EQ(finetune.batch_size, 4);
  const auto needles = std::get<NeedlesStep>(steps_[10].work);
  EXPECT_EQ(needles.model, out / "finetuned/a-seed0");
  EXPECT_EQ(needles.task, "multi");
  EXPECT_EQ(needles.lengths, "1K,4K,16K");
  EXPECT_EQ(needles.samples, 20);
  EXPECT_FALSE(read_compare_results(plan_, setting_.out)[2].needles.is_null());
}

TEST_F(CompareRunTest, WhatIsNewIsAddedAndWhatIsMeasuredOtherwiseIsMeasuredAgain) {
  run_compare(plan_, setting_, listener_);
  plan_.models[1].seeds = {7, 8};
  plan_.models.push_back({"c", "drt", {0}, "", plan_.models[0].run, 100});
  EXPECT_TRUE(run_compare(plan_, setting_, listener_));
  EXPECT_EQ(steps_.size(), 15U);
  plan_.contexts = "4K";
  EXPECT_TRUE(run_compare(plan_, setting_, listener_));
  EXPECT_EQ(steps_.size(), 20U) << "the perplexities of five runs";
  EXPECT_EQ(std::get<PerplexityStep>(steps_.back().work).contexts, "4K");
  plan_.models[2].contexts = "1K";
  EXPECT_TRUE(run_compare(plan_, setting_, listener_));
  EXPECT_EQ(steps_.size(), 21U) << "the one model that is measured with others";
  EXPECT_EQ(std::get<PerplexityStep>(steps_.back().work).contexts, "1K");
}

// tests/fixtures/compare: results that the program wrote when each step was a call of one of its commands.
TEST_F(CompareRunTest, WhatWasDoneByCommandsIsNotDoneAgain) {
  plan_.models = {plan_.models[0]};
  plan_.models[0].seeds = {0};
  plan_.contexts = "32,full";
  plan_.max_tokens = "1K";
  plan_.new_tokens = 4;
  plan_.needles =
      NeedlePlan{.steps = 1, .lr = 3e-4, .batch_size = 1, .train_lengths = "512", .lengths = "512", .samples = 1};
  setting_.valid = "data/valid";
  setting_.prompt_ids.resize(21);
  fs::create_directories(folder_ / "out/results");
  for (const auto& entry : fs::directory_iterator(fs::path(LOOKBACK_SOURCE_DIR) / "tests/fixtures/compare")) {
    std::string text = read_file(entry.path());
    const std::size_t prompt = text.find("\"out/prompt-21.json");
    if (prompt != std::string::npos) text.insert(prompt + 1, folder_.string() + "/");
    write_file_atomic(folder_ / "out/results" / entry.path().filename(), text);
  }
  EXPECT_TRUE(run_compare(plan_, setting_, listener_));
  EXPECT_TRUE(steps_.empty());
  const std::vector<CompareResult> results = read_compare_results(plan_, setting_.out);
  EXPECT_TRUE(is_complete(plan_, results));
  EXPECT_EQ(results[0].speed.at("output").at("prompt_tokens"), 21);

  plan_.needles->lr = 1e-4;
  plan_.needles->samples = 7;
  plan_.max_document_tokens = "1K";
  plan_.new_tokens = 8;
  EXPECT_TRUE(run_compare(plan_, setting_, listener_));
  std::vector<std::string> again;
  std::ranges::transform(steps_, std::back_inserter(again), step_name);
  EXPECT_THAT(again, ElementsAre("perplexity", "speed", "finetune", "needles"));
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
  EXPECT_EQ(steps_.size(), 9U);
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
    const CompareStep step = parse_compare_step(read_json_file(command.at(1)), command.at(1));
    const std::string device = step.device;
    {
      const std::lock_guard lock(mutex);
      EXPECT_TRUE(busy.insert(device).second) << device << " has two runs at a time";
      EXPECT_TRUE(step.quiet);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const std::lock_guard lock(mutex);
    busy.erase(device);
    by_device[device].push_back(step_name(step));
    return answer(command);
  };
  EXPECT_TRUE(run_compare(plan_, setting_, listener_));
  EXPECT_EQ(by_device["cuda:0"].size() + by_device["cuda:1"].size(), 9U);
  EXPECT_EQ(by_device.size(), 2U);
  EXPECT_EQ(by_device["cuda:1"].size() % 3, 0U) << "all steps of a run on one device";
}

}  // namespace
}  // namespace lookback
