// UTF-8 (RFC 3629): where valid characters end.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lookback {

// Length in bytes of the valid character at the start of `text`, or 0 when there is none (empty, invalid, cut off).
std::size_t utf8_character_size(std::string_view text);

// Number of bytes from the start of `text` that are valid UTF-8.
std::size_t valid_utf8_prefix(std::string_view text);

// Whether `text`, no valid character by itself, could become one with more bytes.
bool is_utf8_character_start(std::string_view text);

// The character of valid UTF-8 that begins at `position`, and how many bytes it takes.
struct Character {
  char32_t code;
  std::size_t size;
};
Character character_at(std::string_view valid_text, std::size_t position);

// Where the character of valid UTF-8 that ends before `end` (not 0) begins.
std::size_t previous_character(std::string_view valid_text, std::size_t end);

// Appends the character in UTF-8. `code` is no surrogate and at most U+10FFFF.
void append_character(char32_t code, std::string& text);

}  // namespace lookback
