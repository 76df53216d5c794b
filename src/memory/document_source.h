// By what a document of a memory is known: its content, and where that lay.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace lookback {

// MemoryDocument::source, as lookback 0.2 and later write it: the hash of the content, which decides whether two
// documents are the same, and a number for the file's path without links, which tells a file that has changed from
// another one of its name:
//
//   xxh128 0123456789abcdef0123456789abcdef at 0123456789abcdef
//
// Before, it was "SIZE bytes, TIME ns" of the file: all that is known of such a document is its name and these.
struct ContentHash {
  std::uint64_t high = 0, low = 0;
};

std::string document_source(const ContentHash& content, std::string_view path);

// The part that tells what the document holds, "xxh128 ..."; of an older source all of it.
std::string_view content_of_source(std::string_view source);
// The part that tells where it lay; empty in an older source.
std::string_view place_of_source(std::string_view source);

}  // namespace lookback
