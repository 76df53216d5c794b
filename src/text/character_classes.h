// What kind of character a code point is to tokenizer.json files: Unicode 16's general categories, whatever version the
// libraries know, and the older lists that some components of the `tokenizers` package still use.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace lookback {

// \p{L}, \p{N}, \s (White_Space) and \w of the patterns.
bool is_letter(char32_t code);
bool is_number(char32_t code);
bool is_white_space(char32_t code);
bool is_word_character(char32_t code);

// What the pre-tokenizers Digits and Punctuation look for.
bool is_numeric(char32_t code);
bool is_punctuation(char32_t code);

// The code points of a general category ("Lu") or of all that begin with a letter ("L"): first, last, first, last...
std::vector<std::uint32_t> category_ranges(std::string_view category);

}  // namespace lookback
