// The live line of long work, on standard error: rewritten in place on a terminal, a line every ten seconds
// otherwise (log files). Also the units people read: 1.2M, 3.4 GiB, 2h 05m.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace lookback {

std::string format_count(double count);       // 950, 12.3K, 4.06M, 1.2G
std::string format_bytes(double bytes);       // 512 B, 1.5 KiB, 3.4 GiB
std::string format_duration(double seconds);  // 0.8s, 12s, 3m 05s, 2h 05m
// "12.3K tokens/s"; "-" where nothing was done.
std::string rate_text(double num_tokens, double seconds);

class ProgressLine {
 public:
  using Clock = std::chrono::steady_clock;

  // quiet: shows nothing (machine-readable runs).
  explicit ProgressLine(bool quiet = false);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  // Whether showing now would appear; lets the caller skip making the text.
  bool due() const;
  // Shows `text` now if due.
  void show(const std::string& text);
  // Ends the live line; with text, leaves that as a line of its own.
  void finish(const std::string& text = "");

  double elapsed_seconds() const;

 private:
  bool quiet_;
  bool on_terminal_;
  bool line_open_ = false;
  Clock::time_point start_;
  Clock::time_point last_shown_;
};

// Seconds left at the pace so far, as text; "-" before anything is done.
std::string eta_text(double done, double total, double elapsed_seconds);

}  // namespace lookback
