// A short training of a small model, as a whole, for tests of the loop and of going on with it.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/files.h"
#include "core/json.h"
#include "train/train_helpers.h"
#include "train/trainer.h"

namespace lookback {

inline TrainConfig short_run() {
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

  TrainResult go(const std::filesystem::path& folder, const TrainConfig& config, bool resume,
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

inline std::vector<Json> metrics_of(const std::filesystem::path& run) {
  std::vector<Json> lines;
  std::ifstream file(run / "metrics.jsonl");
  for (std::string line; std::getline(file, line);) lines.push_back(Json::parse(line));
  return lines;
}

// Without what a clock decides.
inline Json without_times(Json line) {
  line.erase("tokens_per_second");
  return line;
}

// Bit by bit, but for what a clock decides.
inline void expect_same_runs(const std::filesystem::path& run, const std::filesystem::path& whole) {
  for (const char* name : {"last", "best"}) {
    EXPECT_EQ(std::filesystem::read_symlink(run / name), std::filesystem::read_symlink(whole / name));
    for (const char* file : {"model.safetensors", "optimizer.safetensors", "trainer.json"}) {
      EXPECT_EQ(read_file(run / name / file), read_file(whole / name / file)) << name << "/" << file;
    }
  }
  const auto lines = metrics_of(run);
  const auto expected = metrics_of(whole);
  ASSERT_EQ(lines.size(), expected.size());
  for (std::size_t i = 0; i < lines.size(); ++i) EXPECT_EQ(without_times(lines[i]), without_times(expected[i]));
  for (const auto& entry : std::filesystem::directory_iterator(run / "checkpoints")) {
    EXPECT_FALSE(entry.path().filename().string().starts_with(".")) << entry.path();
  }
}

}  // namespace lookback
