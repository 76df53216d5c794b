// The tokens that a tokenizer.json adds to its vocabulary: found in the text before anything else looks at it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lookback {

struct AddedToken {
  std::string content;
  std::int32_t id = 0;
  bool normalized = false;
};

class AddedTokens {
 public:
  void add(AddedToken token);

  const std::vector<AddedToken>& tokens() const { return tokens_; }

  // Cuts `text` at the added tokens in it, as Hugging Face does: first at those that are not normalized, then what is
  // left at the normalized ones; each time the leftmost, and of several there the longest. Calls on_text for what
  // lies between (never empty) and on_token, in order.
  template <typename OnText, typename OnToken>
  void split(std::string_view text, const OnText& on_text, const OnToken& on_token) const {
    raw_.split(text, [&](std::string_view part) { normalized_.split(part, on_text, on_token); }, on_token);
  }

 private:
  struct Finder {
    std::vector<AddedToken> longest_first;
    std::array<bool, 256> starts{};

    void add(const AddedToken& token);
    // The token that `text` begins with, or nullptr.
    const AddedToken* at_start_of(std::string_view text) const;

    template <typename OnText, typename OnToken>
    void split(std::string_view text, const OnText& on_text, const OnToken& on_token) const {
      std::size_t begin = 0;
      for (std::size_t position = 0; position < text.size() && !longest_first.empty();) {
        const bool possible = starts[static_cast<unsigned char>(text[position])];
        const AddedToken* const token = possible ? at_start_of(text.substr(position)) : nullptr;
        if (token == nullptr) {
          ++position;
          continue;
        }
        if (position > begin) on_text(text.substr(begin, position - begin));
        on_token(*token);
        position += token->content.size();
        begin = position;
      }
      if (begin < text.size()) on_text(text.substr(begin));
    }
  };

  std::vector<AddedToken> tokens_;
  Finder raw_;
  Finder normalized_;
};

}  // namespace lookback
