// Other programs, run to their end.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lookback {

struct ProcessResult {
  int exit_code = 0;  // 128 + the signal's number for one that a signal ended
  std::string output;
  double seconds = 0;
  std::int64_t peak_resident_bytes = 0;
};

// Runs arguments[0] with the others, without a shell. Its standard output is collected; it shares standard error, and
// gets the terminal's Ctrl-C as we do. Throws Error when it cannot be started.
ProcessResult run_process(const std::vector<std::string>& arguments);

}  // namespace lookback
