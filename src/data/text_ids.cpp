#include "data/text_ids.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <string>

#include "core/error.h"

namespace lookback {

std::vector<std::int64_t> text_ids(const Tokenizer& tokenizer, std::string_view excluded) {
  std::vector<std::int64_t> ids;
  for (std::int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    if (id == tokenizer.end_of_text_id()) continue;
    std::string text;
    tokenizer.decode(id, text);
    if (!text.empty() && text.find_first_of(excluded) == std::string::npos) ids.push_back(id);
  }
  return ids;
}

std::vector<std::int64_t> alphabet_ids(const Tokenizer& tokenizer, std::int64_t count) {
  constexpr std::string_view characters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
  std::vector<std::int64_t> ids;
  for (std::size_t i = 0; i < characters.size(); ++i) {
    const std::string_view character = characters.substr(i, 1);
    std::vector<std::int32_t> found;
    tokenizer.encode_continuation(character, found);
    // What has no token of its own is unknown, or written as several.
    if (found.size() == 1 && tokenizer.decode(found) == character) ids.push_back(found[0]);
  }
  const std::set<std::int64_t> first(ids.begin(), ids.end());
  std::ranges::copy_if(text_ids(tokenizer), std::back_inserter(ids),
                       [&first](std::int64_t id) { return !first.contains(id); });
  require(std::ssize(ids) >= count, "an alphabet of {} tokens: the tokenizer has only {} that stand for text", count,
          ids.size());
  ids.resize(static_cast<std::size_t>(count));
  return ids;
}

}  // namespace lookback
