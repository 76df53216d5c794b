// The tokens that a tokenizer.json adds to its vocabulary: found in the text before anything else looks at it.
#pragma once

#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lookback {

struct AddedToken {
  std::string content;  // as it stands in texts; of a normalized token, what the normalizer makes of it
  std::int32_t id = 0;
  bool single_word = false;  // not where a letter, digit or the like stands beside it
  bool lstrip = false;       // takes in the white space before it
  bool rstrip = false;       // takes in the white space behind it
  bool normalized = false;   // looked for in normalized text
  bool special = false;      // `ignored` where special tokens are just text
};

// Added tokens that are looked for at the same time.
class AddedTokens {
 public:
  void add(AddedToken token);

  bool is_empty() const { return tokens_.empty(); }

  // With true, special tokens in texts are text.
  void ignore_special(bool ignore) { ignores_special_ = ignore; }

  // Whether each token may be found without looking at what stands before it, but for white space.
  bool look_only_forward() const { return !looks_back_; }

  // Whether the two bytes stand side by side in a token: if not, none reaches over a place between them.
  bool have_pair(char left, char right) const { return pairs_.contains({left, right}); }

  // Cuts valid or invalid UTF-8 at the tokens in it, as the `tokenizers` package does: the leftmost, and of several
  // there the longest. Calls on_text for what lies between (never empty) and on_token(id), in order.
  template <typename OnText, typename OnToken>
  void split(std::string_view text, const OnText& on_text, const OnToken& on_token) const {
    std::size_t done = 0;
    for (std::size_t position = 0; position < text.size() && !tokens_.empty();) {
      const AddedToken* const token = at_start_of(text.substr(position));
      if (token == nullptr) {
        ++position;
        continue;
      }
      const std::size_t begin = position;
      position += token->content.size();
      if (!counts(*token, text, begin)) continue;
      const std::size_t first = token->lstrip ? white_space_begin(text, done, begin) : begin;
      if (first > done) on_text(text.substr(done, first - done));
      on_token(token->id);
      done = token->rstrip ? white_space_end(text, position) : position;
    }
    if (done < text.size()) on_text(text.substr(done));
  }

 private:
  // The longest token that `text` begins with, or nullptr.
  const AddedToken* at_start_of(std::string_view text) const;
  // Whether a token that stands at `begin` counts there.
  bool counts(const AddedToken& token, std::string_view text, std::size_t begin) const;
  static std::size_t white_space_begin(std::string_view text, std::size_t from, std::size_t end);
  static std::size_t white_space_end(std::string_view text, std::size_t begin);

  std::vector<AddedToken> tokens_;
  std::array<std::vector<std::uint32_t>, 256> by_first_byte_;  // each from the longest to the shortest
  std::set<std::pair<char, char>> pairs_;
  bool looks_back_ = false;
  bool ignores_special_ = false;
};

}  // namespace lookback
