// The demo from beginning to end, in parts that are saved as they finish: train two models, ask both, look
// inside one answer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "core/stop.h"
#include "report/demo_report.h"

namespace lookback {

struct DemoOptions {
  std::filesystem::path out = "runs/demo";
  std::uint64_t seed = 0;
  std::int64_t steps = 800;
  int threads = 2;     // of the questions; training uses one
  bool quick = false;  // no contexts beyond 64 times the training length
};

// Runs what is not finished in `out` yet, telling on standard error what it does. Nothing: it was asked to
// stop, all that was done is saved. Throws Error when `out` holds a demo with other options.
std::optional<DemoReport> run_demo(const DemoOptions& options, const StopToken& stop);

}  // namespace lookback
