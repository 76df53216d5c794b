// Cutting text into the words that byte-pair encoding works on, by a tokenizer's regular expression.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace lookback {

class WordSplitter {
 public:
  // `pattern` in the dialect of tokenizer.json files, where \s is Unicode's White_Space. Throws Error naming `source`
  // when it does not compile.
  WordSplitter(const std::string& pattern, const std::string& source);
  ~WordSplitter();
  WordSplitter(WordSplitter&&) noexcept;
  WordSplitter& operator=(WordSplitter&&) noexcept;

  // GPT-2's: contractions, words, numbers, other signs, each with its blank before; runs of blanks.
  static const char* gpt2_pattern();

  // Whether, by this pattern, a word ends between an ASCII letter and a space that an ASCII letter follows, whatever
  // comes before and behind. Known of the patterns of GPT-2, Llama 3 and Qwen 2; false for others.
  bool ends_words_at_blanks() const;

  // End of the word that begins at `begin` of valid UTF-8 `text`, begin < text.size(). A word is a match of the
  // pattern, or what lies between two matches. May be called from several threads.
  std::size_t word_end(std::string_view text, std::size_t begin) const;

 private:
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace lookback
