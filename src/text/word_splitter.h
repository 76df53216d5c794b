// Cutting text into the words that byte-pair encoding works on, by a tokenizer's regular expression.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace lookback {

class WordSplitter {
 public:
  // `pattern` in the dialect of tokenizer.json files, where \s is Unicode's White_Space and
  // \p{L}, \p{N} are those of Unicode 16. Throws Error naming `source`
  // when it does not compile.
  WordSplitter(const std::string& pattern, const std::string& source);
  ~WordSplitter();
  WordSplitter(WordSplitter&&) noexcept;
  WordSplitter& operator=(WordSplitter&&) noexcept;

  // GPT-2's: contractions, words, numbers, other signs, each with its blank before; runs of blanks.
  static const char* gpt2_pattern();

  // Whether, by this pattern, a word ends wherever a letter is followed by what is no letter, whatever comes before and
  // behind. Known of the patterns of GPT-2, Llama 3 and Qwen 2; false for others.
  bool ends_words_after_letters() const;

  // Whether the valid UTF-8 character is a letter (\p{L}) to the patterns.
  static bool is_letter(std::string_view character);

  // End of the word that begins at `begin` of valid UTF-8 `text`, begin < text.size(). A word is a match of the
  // pattern, or what lies between two matches. May be called from several threads.
  std::size_t word_end(std::string_view text, std::size_t begin) const;

 private:
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace lookback
