// The table by which a SentencePiece model rewrites characters before it cuts texts into pieces (its
// precompiled_charsmap). The library follows it without looking where it leads, so it is checked when a model is
// loaded.
#pragma once

#include <string_view>

namespace lookback {

// Whether every text stays inside the table: four bytes little-endian, the size of a double-array trie; the trie, units
// of four bytes; replacements, each ended by a zero byte, to which the trie's values point. An empty table is none, and
// sound.
bool is_sound_charsmap(std::string_view charsmap);

}  // namespace lookback
