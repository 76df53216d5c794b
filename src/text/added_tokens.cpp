#include "text/added_tokens.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "text/character_classes.h"
#include "text/utf8.h"

namespace lookback {
namespace {

// The character that ends at `end`, or U+FFFD, which is neither a word nor white space, where none does.
Character last_character(std::string_view text, std::size_t end) {
  constexpr Character none{0xFFFD, 1};
  constexpr std::size_t longest = 4;
  for (std::size_t size = 1; size <= std::min(longest, end); ++size) {
    if (utf8_character_size(text.substr(end - size, size)) == size) return character_at(text, end - size);
  }
  return none;
}

Character first_character(std::string_view text, std::size_t begin) {
  constexpr Character none{0xFFFD, 1};
  return utf8_character_size(text.substr(begin)) > 0 ? character_at(text, begin) : none;
}

}  // namespace

void AddedTokens::add(AddedToken token) {
  for (std::size_t i = 1; i < token.content.size(); ++i) pairs_.emplace(token.content[i - 1], token.content[i]);
  looks_back_ = looks_back_ || token.single_word || token.rstrip;
  auto& indices = by_first_byte_[static_cast<unsigned char>(token.content[0])];
  const auto size_of = [this](std::uint32_t index) { return tokens_[index].content.size(); };
  const auto shorter = std::ranges::upper_bound(indices, token.content.size(), std::greater<>(), size_of);
  indices.insert(shorter, static_cast<std::uint32_t>(tokens_.size()));
  tokens_.push_back(std::move(token));
}

const AddedToken* AddedTokens::at_start_of(std::string_view text) const {
  for (const std::uint32_t index : by_first_byte_[static_cast<unsigned char>(text[0])]) {
    if (text.starts_with(tokens_[index].content)) return &tokens_[index];
  }
  return nullptr;
}

bool AddedTokens::counts(const AddedToken& token, std::string_view text, std::size_t begin) const {
  if (ignores_special_ && token.special) return false;
  const std::size_t end = begin + token.content.size();
  if (!token.single_word) return true;
  const bool word_before = begin > 0 && is_word_character(last_character(text, begin).code);
  const bool word_behind = end < text.size() && is_word_character(first_character(text, end).code);
  return !word_before && !word_behind;
}

std::size_t AddedTokens::white_space_begin(std::string_view text, std::size_t from, std::size_t end) {
  while (end > from) {
    const Character last = last_character(text, end);
    if (!is_white_space(last.code)) break;
    end -= last.size;
  }
  return end;
}

std::size_t AddedTokens::white_space_end(std::string_view text, std::size_t begin) {
  while (begin < text.size()) {
    const Character first = first_character(text, begin);
    if (!is_white_space(first.code)) break;
    begin += first.size;
  }
  return begin;
}

}  // namespace lookback
