// The patterns by which the common tokenizers cut text into words, each as plain code: the same words as by Oniguruma,
// several times faster.
#pragma once

#include <cstddef>
#include <string_view>

namespace lookback {

// The end of the word that begins at `begin` of valid UTF-8, begin < text.size(). These patterns leave out nothing, and
// a word ends wherever a letter is followed by what is no letter.
using WordScanner = std::size_t (*)(std::string_view text, std::size_t begin);

// GPT-2's: contractions, words, numbers, other signs, each with its blank before; runs of blanks.
extern const char* const gpt2_pattern;

// The scanner that does what `pattern` says: of GPT-2, Llama 3 (numbers by three digits) and Qwen 2 (by one). nullptr
// for other patterns.
WordScanner find_word_scanner(std::string_view pattern);

// The end of the last letter of `text` that something else than a letter follows, as all of it that is valid UTF-8
// says: a word of every scanner ends there, whatever follows `text`. 0 where there is none.
std::size_t last_word_end(std::string_view text);

}  // namespace lookback
