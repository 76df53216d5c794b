// Words that were encoded before, with their ids: text repeats itself. Bounded, emptied when full; not thread-safe.
#pragma once

#include <xxhash.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace lookback {

class WordCache {
 public:
  // The ids of `word`, or nothing. Every known word has at least one id. Valid until the next insert.
  std::span<const std::int32_t> find(std::string_view word) const {
    const auto found = places_.find(word);
    if (found == places_.end()) return {};
    return {ids_.data() + found->second.begin, found->second.count};
  }

  void insert(std::string_view word, std::span<const std::int32_t> ids) {
    constexpr std::size_t longest_word = 64;
    constexpr std::size_t most_words = 1U << 17U;
    if (word.size() > longest_word) return;
    if (places_.size() >= most_words) clear();
    places_.emplace(word, Place{static_cast<std::uint32_t>(ids_.size()), static_cast<std::uint32_t>(ids.size())});
    ids_.insert(ids_.end(), ids.begin(), ids.end());
  }

  void clear() {
    places_.clear();
    ids_.clear();
  }

 private:
  struct Place {
    std::uint32_t begin, count;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view word) const { return XXH3_64bits(word.data(), word.size()); }
  };
  std::unordered_map<std::string, Place, Hash, std::equal_to<>> places_;
  std::vector<std::int32_t> ids_;
};

}  // namespace lookback
