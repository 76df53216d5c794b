#include "text/utf8_stream.h"

#include "text/utf8.h"

namespace lookback {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";  // U+FFFD

}  // namespace

std::string Utf8Stream::push(std::string_view bytes) {
  pending_ += bytes;
  std::string_view rest = pending_;
  std::string shown;
  while (!rest.empty()) {
    const std::size_t valid = valid_utf8_prefix(rest);
    shown += rest.substr(0, valid);
    rest.remove_prefix(valid);
    if (rest.empty() || is_utf8_character_start(rest)) break;
    shown += replacement;
    rest.remove_prefix(1);
  }
  pending_ = std::string(rest);
  return shown;
}

std::string Utf8Stream::flush() {
  if (pending_.empty()) return {};
  pending_.clear();
  return std::string(replacement);
}

}  // namespace lookback
