// GPT-2's alphabet: every byte as a printable character, so that a byte-level vocabulary is text (Radford et al.
// 2019, bytes_to_unicode of their code).
#pragma once

#include <string>
#include <string_view>

namespace lookback {

// The character that stands for `byte`, in UTF-8.
std::string byte_symbol(unsigned char byte);

// The bytes that a vocabulary entry stands for. Returns false when it holds a character outside the alphabet.
bool symbols_to_bytes(std::string_view symbols, std::string& bytes);

}  // namespace lookback
