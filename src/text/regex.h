// Oniguruma's regular expressions: the engine, and so the dialect, in which tokenizer.json files are written.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace lookback {

// A part of a text: a match of a pattern, or what lies between two.
struct Span {
  std::size_t begin, end;
  bool is_match;
};

// A compiled pattern. \p{...} of general categories are those of Unicode 16; the rest (scripts, case folding) is of the
// library's Unicode version. May be used from several threads.
class Regex {
 public:
  // Throws Error naming `source` when the pattern does not compile.
  Regex(const std::string& pattern, const std::string& source);

  // Begin and end of the first match at or behind `begin` in valid UTF-8; nothing where there is none. Throws Error
  // when the pattern backtracks so much that it would not end.
  std::optional<Span> find(std::string_view text, std::size_t begin) const;

  // Calls on_span for all parts of `text` in order. Matches may be empty; what lies between is not.
  template <typename OnSpan>
  void for_each_span(std::string_view text, const OnSpan& on_span) const {
    std::size_t done = 0;
    std::optional<std::size_t> last_end;
    for (std::size_t begin = 0; begin <= text.size();) {
      const std::optional<Span> match = find(text, begin);
      if (!match.has_value()) break;
      if (match->begin == match->end && last_end == match->end) {  // no empty match right behind another
        begin += character_bytes(text, begin);
        continue;
      }
      if (match->begin > done) on_span(Span{done, match->begin, false});
      on_span(*match);
      done = match->end;
      begin = match->end;
      last_end = match->end;
    }
    if (done < text.size()) on_span(Span{done, text.size(), false});
  }

 private:
  static std::size_t character_bytes(std::string_view text, std::size_t position);

  std::string pattern_;
  std::string source_;
  std::shared_ptr<void> compiled_;
};

// The pattern that matches `text` literally.
std::string escaped_pattern(std::string_view text);

}  // namespace lookback
