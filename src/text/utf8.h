// UTF-8 (RFC 3629): where valid characters end.
#pragma once

#include <cstddef>
#include <string_view>

namespace lookback {

// Length in bytes of the valid character at the start of `text`, or 0 when there is none (empty, invalid, cut off).
std::size_t utf8_character_size(std::string_view text);

// Number of bytes from the start of `text` that are valid UTF-8.
std::size_t valid_utf8_prefix(std::string_view text);

// Whether `text`, no valid character by itself, could become one with more bytes.
bool is_utf8_character_start(std::string_view text);

}  // namespace lookback
