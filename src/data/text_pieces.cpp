#include "data/text_pieces.h"

#include <xxhash.h>

namespace lookback {

std::size_t piece_size(std::string_view remaining, bool is_all, const Tokenizer& tokenizer) {
  for (std::size_t reach = piece_bytes; reach < remaining.size(); reach *= 2) {
    const std::size_t size = tokenizer.safe_prefix(remaining.substr(0, reach));
    if (size > 0) return size;
  }
  return is_all ? remaining.size() : 0;
}

std::uint64_t content_hash(std::string_view document) {
  const std::string_view hashed = document.substr(0, piece_bytes);
  return XXH64(hashed.data(), hashed.size(), 0);
}

}  // namespace lookback
