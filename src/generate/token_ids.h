// Token ids from JSON files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/json.h"
#include "text/tokenizer.h"

namespace lookback {

// The sequences in `value`: a list of ids, a list of lists of ids (a batch), or {"ids": either}. Throws Error
// naming `source` and what is wrong: no list, not all integers, sequences of different lengths, no ids at
// all.
std::vector<std::vector<std::int64_t>> parse_token_ids(const Json& value, const std::string& source);

// Appends the bytes that `id` stands for: nothing for an id that no token has, be it a hole in the vocabulary or a row
// that the embedding has behind it. For ids that a user or a file gave.
void decode_any(const Tokenizer& tokenizer, std::int64_t id, std::string& text);

// Everything on standard input when `path` is "-", otherwise the content of the file; without a byte-order mark.
std::string read_file_or_stdin(const std::string& path);

// How messages name it: the path, or "standard input".
std::string input_name(const std::string& path);

}  // namespace lookback
