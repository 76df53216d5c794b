// SentencePiece .model files (unigram and BPE), through Google's library.
#pragma once

#include <memory>

#include "text/tokenizer.h"
#include "text/tokenizer_choices.h"

namespace lookback {

class SentencePieceTokenizer : public Tokenizer {
 public:
  static constexpr const char* file_name = "tokenizer.model";

  // Throws Error naming the file when it is no SentencePiece model, or when this build lacks the library.
  SentencePieceTokenizer(const std::filesystem::path& path, const TokenizerChoices& choices);
  ~SentencePieceTokenizer() override;

  using Tokenizer::decode;
  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<std::int32_t>& ids) const override;
  // Pieces' blanks (U+2581) become spaces; the one that the library puts before a text stays.
  void decode(std::int32_t id, std::string& text) const override;
  std::int32_t vocab_size() const override;
  std::int32_t end_of_text_id() const override;
  std::string fingerprint() const override { return fingerprint_; }
  bool puts_blank_before_text() const override { return puts_blank_before_text_; }
  // Before a blank between two words of ASCII letters, where no piece of the vocabulary reaches over such a place. (In
  // texts of megabytes a unigram model's own sums lose precision; cut, they are more exact than uncut.)
  std::size_t safe_prefix(std::string_view text) const override;
  void encode_continuation(std::string_view text, std::vector<std::int32_t>& ids) const override;
  void save(const std::filesystem::path& folder) const override;

 private:
  // Whether a piece goes on behind a blank in its midst or ends in one that follows a letter.
  bool has_piece_over_blank() const;
  // Whether the model drops the first character of `text` at the beginning of a text, as a blank.
  bool drops_first_character(std::string_view text) const;

  struct Processor;
  std::unique_ptr<Processor> processor_;
  std::string file_content_;
  TokenizerChoices choices_;
  std::int32_t end_of_text_id_ = -1;
  std::string fingerprint_;
  bool puts_blank_before_text_ = false;
  bool may_be_cut_ = false;
};

}  // namespace lookback
