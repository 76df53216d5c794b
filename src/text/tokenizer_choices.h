// What a user chooses about a tokenizer beyond its file: kept beside the file wherever a tokenizer is saved, so that
// later commands know it.
#pragma once

#include <filesystem>
#include <string>

namespace lookback {

struct TokenizerChoices {
  std::string end_of_text;  // the token that ends a text; empty: the one that the file names
  bool no_special = false;  // special tokens in a text are text
};

// The choices kept in `folder`, or none.
TokenizerChoices read_tokenizer_choices(const std::filesystem::path& folder);

// Keeps the choices in `folder`; where there is nothing to keep, no file is left.
void write_tokenizer_choices(const std::filesystem::path& folder, const TokenizerChoices& choices);

// The fingerprint of a tokenizer's file with choices that change its ids: the file's own where there are none.
std::string tokenizer_fingerprint(const std::string& file_content, const TokenizerChoices& choices);

}  // namespace lookback
