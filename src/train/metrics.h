// Training in numbers, for machines: metrics.jsonl, an object a step, and what a whole call did.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "core/json.h"
#include "train/train_recorder.h"

namespace lookback {

// {"step": 12, "loss": 2.31, "perplexity": ..., "lr": ..., ...}; stage only where the run has stages, exact_match and
// validation_loss only where measured.
Json to_json(const StepMetrics& metrics);

// What a call of training did; run: the folder, as it was given. validation_loss only where measured.
Json to_json(const TrainResult& result, const std::string& run);

// Appends lines to a file. Each line is handed to the system whole, so that a killed process leaves whole lines.
class MetricsLog : public TrainRecorder {
 public:
  // Keeps of an existing file the lines of steps up to `last_step` (a crash may have left later or broken ones). Throws
  // Error naming the path.
  MetricsLog(const std::filesystem::path& path, std::int64_t last_step);
  ~MetricsLog() override;
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;

  void record(const StepMetrics& metrics) override;
  // Makes all lines durable: before a checkpoint that counts on them.
  void sync();

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace lookback
