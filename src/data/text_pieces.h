// How long documents are cut for tokenizing, so that a piece of one is all that is held.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "text/tokenizer.h"

namespace lookback {

inline constexpr std::size_t piece_bytes = std::size_t{1} << 20;

// A document in which the tokenizer knows no place to cut is held whole, up to this.
inline constexpr std::size_t longest_piece_bytes = std::size_t{256} << 20;

// Size of the first piece of `remaining`, what is read of the rest of a document (is_all: to its end): up to the last
// place in the first piece_bytes where the tokenizer may be cut (Tokenizer::safe_prefix), else in twice that, and so
// on; else all of it. 0: more must be read. Depends on the rest of the document only, not on how much of it was read.
std::size_t piece_size(std::string_view remaining, bool is_all, const Tokenizer& tokenizer);

// What tells documents apart without holding them: the hash of the first piece_bytes.
std::uint64_t content_hash(std::string_view document);

}  // namespace lookback
