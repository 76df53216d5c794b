// What a demo has finished so far: OUT/demo.json. A demo that was stopped goes on from there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "eval/demo_evaluation.h"

namespace lookback {

struct DemoTraining {
  bool finished = false;
  double seconds = 0;  // of all parts
  std::vector<std::int64_t> stage_starts;
};

class DemoState {
 public:
  // Reads folder/demo.json if it is there. Throws Error when it belongs to a demo with other settings.
  DemoState(const std::filesystem::path& folder, const Json& settings);

  DemoTraining training(const std::string& model) const;
  void set_training(const std::string& model, const DemoTraining& training);

  // One cell of the evaluation with the seconds it took; nothing if it was not measured yet.
  struct Measured {
    DemoCell cell;
    double seconds = 0;
  };
  std::optional<Measured> cell(const std::string& model, std::int64_t num_chunks, std::size_t depth_index) const;
  void set_cell(const std::string& model, std::int64_t num_chunks, std::size_t depth_index, const Measured& measured);

  std::optional<DemoInspection> inspection(const std::string& model) const;
  void set_inspection(const std::string& model, const DemoInspection& inspection);

  // Of all parts so far, this one included.
  double total_seconds() const;
  double peak_memory_bytes() const;

  // Everything so far, durably. The setters do it, too.
  void save();

 private:
  std::filesystem::path path_;
  Json value_;
  double earlier_seconds_ = 0;
  double earlier_peak_bytes_ = 0;
  double start_seconds_ = 0;
};

}  // namespace lookback
