#include "data/text_pieces.h"

#include <algorithm>

namespace lookback {
namespace {

bool is_space(char byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

bool continues_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

}  // namespace

std::size_t piece_size(std::string_view remaining) {
  if (remaining.size() <= piece_bytes) return remaining.size();
  const std::size_t limit = std::min(remaining.size(), 2 * piece_bytes);
  for (std::size_t i = piece_bytes; i < limit; ++i) {
    if ((remaining[i] == '\n' || remaining[i] == '\r') && !is_space(remaining[i - 1])) return i;
  }
  if (remaining.size() <= limit) return remaining.size();
  std::size_t size = limit;
  while (size > limit - 3 && continues_character(remaining[size])) --size;
  return size;
}

}  // namespace lookback
