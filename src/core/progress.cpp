#include "core/progress.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string_view>

#include "core/standard_streams.h"

namespace lookback {
namespace {

constexpr auto terminal_interval = std::chrono::milliseconds(200);
constexpr auto log_interval = std::chrono::seconds(10);

std::string scaled(double value, double base, const std::array<const char*, 6>& units, const char* separator) {
  std::size_t unit = 0;
  // Half a last digit early, so that 999.96 becomes 1.00 of the next unit and not 1000.0 of this one.
  while (std::abs(value) >= base - (unit == 0 ? 0.5 : 0.05) && unit + 1 < units.size()) {
    value /= base;
    ++unit;
  }
  if (unit == 0) return fmt::format("{:.0f}{}{}", value, separator, units[0]);
  return fmt::format("{:.{}f}{}{}", value, std::abs(value) < 9.995 ? 2 : 1, separator, units[unit]);
}

// At most `columns` characters of UTF-8 text, never half of one.
std::string_view cut_to_columns(std::string_view text, std::size_t columns) {
  std::size_t end = 0;
  while (end < text.size()) {
    const bool begins_character = (static_cast<unsigned char>(text[end]) & 0xC0U) != 0x80U;
    if (begins_character && columns-- == 0) break;
    ++end;
  }
  return text.substr(0, end);
}

std::size_t terminal_width() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

}  // namespace

std::string format_count(double count) { return scaled(count, 1000, {"", "K", "M", "G", "T", "P"}, ""); }

std::string format_bytes(double bytes) { return scaled(bytes, 1024, {"B", "KiB", "MiB", "GiB", "TiB", "PiB"}, " "); }

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds)) return "-";
  if (seconds < 9.95) return fmt::format("{:.1f}s", seconds);
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  if (whole < 60) return fmt::format("{}s", whole);
  if (whole < 3600) return fmt::format("{}m {:02}s", whole / 60, whole % 60);
  return fmt::format("{}h {:02}m", whole / 3600, whole % 3600 / 60);
}

std::string rate_text(double num_tokens, double seconds) {
  return num_tokens > 0 && seconds > 0 ? format_count(num_tokens / seconds) + " tokens/s" : "-";
}

ProgressLine::ProgressLine(bool quiet)
    : quiet_(quiet), on_terminal_(::isatty(STDERR_FILENO) == 1), start_(Clock::now()), last_shown_(start_) {}

ProgressLine::~ProgressLine() { finish(); }

bool ProgressLine::due() const {
  return !quiet_ && Clock::now() - last_shown_ >=
                        (on_terminal_ ? Clock::duration(terminal_interval) : Clock::duration(log_interval));
}

void ProgressLine::show(const std::string& text) {
  if (!due()) return;
  last_shown_ = Clock::now();
  if (!on_terminal_) {
    print_message("{}\n", text);
    return;
  }
  print_message("\r\033[K{}", cut_to_columns(text, terminal_width() - 1));
  std::fflush(stderr);
  line_open_ = true;
}

void ProgressLine::finish(const std::string& text) {
  if (line_open_) print_message("\r\033[K");
  line_open_ = false;
  if (!text.empty() && !quiet_) print_message("{}\n", text);
  std::fflush(stderr);
}

double ProgressLine::elapsed_seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

std::string eta_text(double done, double total, double elapsed_seconds) {
  if (done <= 0) return "-";
  return format_duration(elapsed_seconds * std::max(0.0, total - done) / done);
}

}  // namespace lookback
