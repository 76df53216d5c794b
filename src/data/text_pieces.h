// How long documents are cut for tokenizing: the rule decides token ids, so it is part of the dataset's format.
#pragma once

#include <cstddef>
#include <string_view>

namespace lookback {

inline constexpr std::size_t piece_bytes = std::size_t{1} << 20;

// Size of the first piece of `remaining`, the rest of a document (2 * piece_bytes + 1 bytes of it suffice):
// all of it up to piece_bytes; else up to the first line break in [piece_bytes, 2 * piece_bytes) that follows
// a non-space byte (the break opens the next piece: byte-level BPE splits there anyway, so its ids are those of
// the uncut text); else all of it up to 2 * piece_bytes, else 2 * piece_bytes less what would split a character.
std::size_t piece_size(std::string_view remaining);

}  // namespace lookback
