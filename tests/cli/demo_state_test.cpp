#include "cli/demo_state.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "core/error.h"

namespace lookback {
namespace {

class DemoStateTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("lookback-demo-state-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
  Json settings_ = {{"seed", 1}};
};

TEST_F(DemoStateTest, WhatIsFinishedIsThereAgain) {
  {
    DemoState state(folder_, settings_);
    EXPECT_FALSE(state.training("drt").finished);
    EXPECT_FALSE(state.cell("drt", 16, 0));
    EXPECT_FALSE(state.inspection("drt"));
    state.set_training("drt", {true, 12.5, {0, 230, 361}});
    state.set_cell("drt", 16, 2, {{20, 19, 18, true}, 1.25});
    state.set_inspection("drt", {16, "q", "|key fox is 1|", "12345", "\xFF<", {{3, 0.75, "a\xC3", true}}});
  }
  const DemoState state(folder_, settings_);
  EXPECT_TRUE(state.training("drt").finished);
  EXPECT_EQ(state.training("drt").stage_starts, (std::vector<std::int64_t>{0, 230, 361}));
  const auto measured = state.cell("drt", 16, 2);
  ASSERT_TRUE(measured);
  EXPECT_EQ(measured->cell.num_correct, 19);
  EXPECT_EQ(measured->cell.num_recalled, 18);
  EXPECT_FALSE(state.cell("sliding-window", 16, 2));
  const auto inspection = state.inspection("drt");
  ASSERT_TRUE(inspection);
  EXPECT_EQ(inspection->answer, "\xFF<");  // answers are bytes, UTF-8 or not
  EXPECT_EQ(inspection->retrieved.at(0).text, "a\xC3");
  EXPECT_GE(state.total_seconds(), 0);
}

TEST_F(DemoStateTest, RefusesADemoWithOtherSettings) {
  DemoState(folder_, settings_).save();
  EXPECT_THROW(DemoState(folder_, {{"seed", 2}}), Error);
}

TEST_F(DemoStateTest, RefusesABrokenFile) {
  write_json_file(folder_ / "demo.json", {{"settings", settings_}, {"training", 3}});
  EXPECT_THROW(DemoState(folder_, settings_), Error);
}

}  // namespace
}  // namespace lookback
