#include "text/utf8.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace lookback {
namespace {

// What a first byte asks for: the whole size, and the range of the second byte (which excludes overlong forms,
// surrogates and code points above U+10FFFF; RFC 3629 section 4).
struct Lead {
  std::size_t size;
  unsigned char second_low, second_high;
};

Lead lead_of(unsigned char byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// How many bytes of `text` fit the character that its first byte begins.
std::size_t matching_bytes(std::string_view text, const Lead& lead) {
  std::size_t count = 1;
  while (count < std::min(lead.size, text.size())) {
    const auto byte = static_cast<unsigned char>(text[count]);
    const bool fits = count == 1 ? byte >= lead.second_low && byte <= lead.second_high : (byte & 0xC0U) == 0x80;
    if (!fits) break;
    ++count;
  }
  return count;
}

}  // namespace

std::size_t utf8_character_size(std::string_view text) {
  if (text.empty()) return 0;
  const Lead lead = lead_of(static_cast<unsigned char>(text[0]));
  return lead.size != 0 && matching_bytes(text, lead) == lead.size ? lead.size : 0;
}

std::size_t valid_utf8_prefix(std::string_view text) {
  std::size_t position = 0;
  while (position < text.size()) {
    // Eight ASCII bytes at a time.
    std::uint64_t word = 0;
    while (text.size() - position >= sizeof word) {
      std::memcpy(&word, text.data() + position, sizeof word);
      if ((word & 0x8080808080808080ULL) != 0) break;
      position += sizeof word;
    }
    if (position == text.size()) break;
    const std::size_t size = utf8_character_size(text.substr(position));
    if (size == 0) break;
    position += size;
  }
  return position;
}

bool is_utf8_character_start(std::string_view text) {
  if (text.empty()) return false;
  const Lead lead = lead_of(static_cast<unsigned char>(text[0]));
  return text.size() < lead.size && matching_bytes(text, lead) == text.size();
}

Character character_at(std::string_view valid_text, std::size_t position) {
  const auto byte = [&](std::size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(valid_text[position + i]));
  };
  const char32_t first = byte(0);
  if (first < 0x80) return {first, 1};
  if (first < 0xE0) return {((first & 0x1FU) << 6U) | (byte(1) & 0x3FU), 2};
  if (first < 0xF0) return {((first & 0x0FU) << 12U) | ((byte(1) & 0x3FU) << 6U) | (byte(2) & 0x3FU), 3};
  return {((first & 0x07U) << 18U) | ((byte(1) & 0x3FU) << 12U) | ((byte(2) & 0x3FU) << 6U) | (byte(3) & 0x3FU), 4};
}

std::size_t previous_character(std::string_view valid_text, std::size_t end) {
  do {
    --end;
  } while ((static_cast<unsigned char>(valid_text[end]) & 0xC0U) == 0x80);
  return end;
}

void append_character(char32_t code, std::string& text) {
  const auto add = [&](char32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code < 0x80) return add(code);
  if (code < 0x800) {
    add(0xC0U | (code >> 6U));
  } else if (code < 0x10000) {
    add(0xE0U | (code >> 12U));
    add(0x80U | ((code >> 6U) & 0x3FU));
  } else {
    add(0xF0U | (code >> 18U));
    add(0x80U | ((code >> 12U) & 0x3FU));
    add(0x80U | ((code >> 6U) & 0x3FU));
  }
  add(0x80U | (code & 0x3FU));
}

}  // namespace lookback
