#include "core/stored_text.h"

#include <fmt/core.h>

#include <charconv>

#include "core/shown_text.h"

namespace lookback {

std::string stored_text(std::string_view bytes) {
  if (shown_text(bytes) == bytes) return std::string(bytes);
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 128) {
      text += c;
    } else {
      text += fmt::format("{}{:02x}", '\0', byte);
    }
  }
  return text;
}

std::string bytes_of_stored_text(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned int byte = 0;
    const std::string_view digits = text.substr(i).substr(0, 3);
    const bool is_stored = digits.size() == 3 && digits[0] == '\0' &&
                           std::from_chars(digits.data() + 1, digits.data() + 3, byte, 16).ptr == digits.data() + 3;
    bytes += is_stored ? static_cast<char>(byte) : text[i];
    if (is_stored) i += 2;
  }
  return bytes;
}

}  // namespace lookback
