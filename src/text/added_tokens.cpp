#include "text/added_tokens.h"

#include <algorithm>
#include <utility>

namespace lookback {

void AddedTokens::add(AddedToken token) {
  (token.normalized ? normalized_ : raw_).add(token);
  tokens_.push_back(std::move(token));
}

void AddedTokens::Finder::add(const AddedToken& token) {
  starts[static_cast<unsigned char>(token.content[0])] = true;
  const auto shorter = std::find_if(longest_first.begin(), longest_first.end(), [&](const AddedToken& other) {
    return other.content.size() < token.content.size();
  });
  longest_first.insert(shorter, token);
}

const AddedToken* AddedTokens::Finder::at_start_of(std::string_view text) const {
  for (const AddedToken& token : longest_first) {
    if (text.starts_with(token.content)) return &token;
  }
  return nullptr;
}

}  // namespace lookback
