// The pre-tokenizer of a tokenizer.json: how a normalized text is cut into the words that the model encodes.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/json.h"
#include "text/regex.h"
#include "text/word_scanners.h"

namespace lookback {

// What becomes of the matches of a pattern and of what lies between them.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

// Where a text that is cut into words stands in its document. Blanks and the like are put before texts that begin.
struct TextPlace {
  bool begins;           // false: goes on where another text was cut off
  bool begins_document;  // nothing, no added token either, stands before it
};

class PreTokenizer {
 public:
  using OnWord = std::function<void(std::string_view word)>;

  // `value`: the field "pre_tokenizer", null for none. Throws Error naming `source` and what is not supported.
  PreTokenizer(const LookupJson& value, const std::string& source);

  // Whether words are the bytes of the text and the model's vocabulary is written in GPT-2's alphabet (ByteLevel); if
  // not, words are characters.
  bool is_byte_level() const { return is_byte_level_; }

  // Whether a word ends wherever a letter is followed by what is no letter, so that a text may be cut there.
  bool ends_words_after_letters() const;

  // Whether words end at blanks or their replacement only, if anywhere (nothing, Metaspace, a Split by a blank).
  bool cuts_at_blanks_only() const;

  // Calls on_word for the words of `text` (valid UTF-8, not empty) in order; none is empty.
  void split(std::string_view text, TextPlace place, const OnWord& on_word) const { run(0, text, place, on_word); }

 private:
  struct Split {
    std::optional<Regex> pattern;  // nothing where a scanner does its work
    WordScanner scanner;           // or nullptr
    SplitBehavior behavior;
    bool invert;
    bool at_blanks;  // the pattern is one literal blank
  };
  struct ByteLevel {
    bool add_prefix_space, use_regex;
    bool changes_alphabet;  // more steps follow, which look at GPT-2's alphabet
  };
  struct Digits {
    bool one_by_one;
  };
  struct Punctuation {
    SplitBehavior behavior;
  };
  struct Whitespace {};
  struct WhitespaceSplit {};
  struct Metaspace {
    enum class Prepend { first, never, always };
    std::string replacement;
    Prepend prepend;
    bool split;
  };
  using Step = std::variant<Split, ByteLevel, Digits, Punctuation, Whitespace, WhitespaceSplit, Metaspace>;

  static Step read_step(const LookupJson& value, const std::string& source);
  static Step read_split(const LookupJson& value, const std::string& place);
  static Step read_metaspace(const LookupJson& value, const std::string& place);

  void run(std::size_t index, std::string_view text, TextPlace place, const OnWord& on_word) const;
  void run_byte_level(std::size_t index, std::string_view text, TextPlace place, const OnWord& on_word) const;
  void run_metaspace(std::size_t index, std::string_view text, TextPlace place, const OnWord& on_word) const;

  std::vector<Step> steps_;
  bool is_byte_level_ = false;
  bool words_in_alphabet_ = false;  // a ByteLevel that is not the last step: words are turned back into bytes
};

}  // namespace lookback
