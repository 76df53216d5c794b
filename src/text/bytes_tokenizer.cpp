#include "text/bytes_tokenizer.h"

#include <algorithm>

#include "core/error.h"
#include "core/json.h"
#include "text/utf8.h"

namespace lookback {

void BytesTokenizer::encode(std::string_view text, std::vector<std::int32_t>& ids) const {
  ids.reserve(ids.size() + text.size());
  for (const char byte : text) ids.push_back(static_cast<unsigned char>(byte));
}

void BytesTokenizer::decode(std::int32_t id, std::string& text) const {
  require(id >= 0 && id < vocab_size(), "token id {}: expected 0 to {}", id, vocab_size() - 1);
  if (id != end_of_text_id()) text += static_cast<char>(id);
}

std::size_t BytesTokenizer::safe_prefix(std::string_view text) const {
  constexpr std::size_t longest_start = 3;
  for (std::size_t size = 1; size <= std::min(longest_start, text.size()); ++size) {
    if (is_utf8_character_start(text.substr(text.size() - size))) return text.size() - size;
  }
  return text.size();
}

void BytesTokenizer::save(const std::filesystem::path& folder) const {
  write_json_file(folder / "tokenizer_config.json", {{"lookback_tokenizer", name}});
}

}  // namespace lookback
