// The ids that stand for text: what is made of random tokens is drawn from them.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace lookback {

// In their order: those that stand for some text without any of the characters of `excluded`, but for the end of text.
std::vector<std::int64_t> text_ids(const Tokenizer& tokenizer, std::string_view excluded = "");

// `count` of them: first those of the letters, the digits, `-` and `_`, where the tokenizer has a token for each of
// these 64, then the others in their order. Throws Error where there are fewer.
std::vector<std::int64_t> alphabet_ids(const Tokenizer& tokenizer, std::int64_t count);

}  // namespace lookback
