#include "core/progress.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdio>

namespace lookback {
namespace {

constexpr auto terminal_interval = std::chrono::milliseconds(200);
constexpr auto log_interval = std::chrono::seconds(10);

std::string scaled(double value, double base, const std::array<const char*, 6>& units, const char* separator) {
  std::size_t unit = 0;
  while (std::abs(value) >= base && unit + 1 < units.size()) {
    value /= base;
    ++unit;
  }
  if (unit == 0) return fmt::format("{:.0f}{}{}", value, separator, units[0]);
  return fmt::format("{:.{}f}{}{}", value, value < 10 ? 2 : 1, separator, units[unit]);
}

std::size_t terminal_width() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

}  // namespace

std::string format_count(double count) { return scaled(count, 1000, {"", "K", "M", "G", "T", "P"}, ""); }

std::string format_bytes(double bytes) {
  return scaled(bytes, 1024, {"B", "KiB", "MiB", "GiB", "TiB", "PiB"}, " ");
}

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds)) return "-";
  if (seconds < 10) return fmt::format("{:.1f}s", seconds);
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  if (whole < 60) return fmt::format("{}s", whole);
  if (whole < 3600) return fmt::format("{}m {:02}s", whole / 60, whole % 60);
  return fmt::format("{}h {:02}m", whole / 3600, whole % 3600 / 60);
}

ProgressLine::ProgressLine(bool quiet)
    : quiet_(quiet), on_terminal_(::isatty(STDERR_FILENO) == 1), start_(Clock::now()), last_shown_(start_) {}

ProgressLine::~ProgressLine() { finish(); }

bool ProgressLine::due() const {
  return !quiet_ && Clock::now() - last_shown_ >= (on_terminal_ ? Clock::duration(terminal_interval)
                                                                : Clock::duration(log_interval));
}

void ProgressLine::show(const std::string& text) {
  if (!due()) return;
  last_shown_ = Clock::now();
  if (!on_terminal_) {
    fmt::print(stderr, "{}\n", text);
    return;
  }
  fmt::print(stderr, "\r\033[K{}", text.substr(0, terminal_width() - 1));
  std::fflush(stderr);
  line_open_ = true;
}

void ProgressLine::finish(const std::string& text) {
  if (line_open_) fmt::print(stderr, "\r\033[K");
  line_open_ = false;
  if (!text.empty() && !quiet_) fmt::print(stderr, "{}\n", text);
  std::fflush(stderr);
}

double ProgressLine::elapsed_seconds() const {
  return std::chrono::duration<double>(Clock::now() - start_).count();
}

std::string eta_text(double done, double total, double elapsed_seconds) {
  if (done <= 0) return "-";
  return format_duration(elapsed_seconds * (total - done) / done);
}

}  // namespace lookback
