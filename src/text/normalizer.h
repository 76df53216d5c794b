// The normalizer of a tokenizer.json: what is done to a text before it is cut into words.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/json.h"
#include "text/regex.h"

namespace lookback {

enum class NormalForm { nfc, nfd, nfkc, nfkd };

// `text`, valid UTF-8, in a normal form of Unicode 9, which is what the `tokenizers` package knows; characters that
// came later stay as they are.
std::string normalized(std::string_view text, NormalForm form);

// `text`, valid UTF-8, in lower case, character by character.
std::string lower_case(std::string_view text);

class Normalizer {
 public:
  // `value`: the field "normalizer", null for none. Throws Error naming `source` and what is not supported.
  Normalizer(const LookupJson& value, const std::string& source);

  bool is_empty() const { return steps_.empty(); }

  // Normalizes valid UTF-8 in place. `begins`: the text begins here; otherwise Prepend puts nothing before it.
  void apply(std::string& text, bool begins) const;

  // Whether the text may be cut between an ASCII letter and a following ASCII character, and its parts normalized one
  // by one (the later ones with `begins` false), with the same result.
  bool works_piecewise() const;

  // Whether ASCII letters stay what they are and no other ASCII character becomes a letter or nothing.
  bool keeps_ascii_words() const;

 private:
  struct Form {
    NormalForm form;
  };
  struct Lowercase {};
  struct Prepend {
    std::string text;
  };
  struct Replace {
    Regex pattern;
    std::string content;
    bool replaces_one_character;  // of the text at a time, whatever stands beside it
  };
  struct Strip {
    bool left, right;
  };
  using Step = std::variant<Form, Lowercase, Prepend, Replace, Strip>;

  static Step read_step(const LookupJson& value, const std::string& source);
  static void apply_step(const Step& step, bool begins, std::string& text);

  std::vector<Step> steps_;
};

}  // namespace lookback
