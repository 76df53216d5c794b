#include "report/escape.h"

#include <cstddef>

namespace lookback {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";

// Bytes of the well-formed UTF-8 character at the front of `bytes`, 0 if there is none (Unicode 15, table
// 3-7).
std::size_t character_size(std::string_view bytes) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const auto within = [&](std::size_t i, unsigned low, unsigned high) {
    return i < bytes.size() && byte(i) >= low && byte(i) <= high;
  };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return within(1, 0x80, 0xBF) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const unsigned low = lead == 0xE0 ? 0xA0 : 0x80;
    const unsigned high = lead == 0xED ? 0x9F : 0xBF;
    return within(1, low, high) && within(2, 0x80, 0xBF) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const unsigned low = lead == 0xF0 ? 0x90 : 0x80;
    const unsigned high = lead == 0xF4 ? 0x8F : 0xBF;
    return within(1, low, high) && within(2, 0x80, 0xBF) && within(3, 0x80, 0xBF) ? 4 : 0;
  }
  return 0;
}

// U+2400 + code: the picture of a control character, U+2421 for DEL.
void append_control_picture(unsigned char code, std::string& text) {
  text += "\xE2\x90";
  text += static_cast<char>(0x80 + (code == 0x7F ? 0x21 : code));
}

}  // namespace

std::string printable_text(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const std::size_t size = character_size(bytes);
    const auto lead = static_cast<unsigned char>(bytes[0]);
    if (size == 0) {
      text += replacement;
    } else if (lead < 0x20 || lead == 0x7F) {
      append_control_picture(lead, text);
    } else {
      text += bytes.substr(0, size);
    }
    bytes.remove_prefix(size == 0 ? 1 : size);
  }
  return text;
}

std::string escape_markup(std::string_view bytes) {
  std::string escaped;
  for (const char c : printable_text(bytes)) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

}  // namespace lookback
