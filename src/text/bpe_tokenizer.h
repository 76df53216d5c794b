// Byte-pair encoding as a Hugging Face tokenizer.json describes it: GPT-2's and Llama 3's on bytes, Llama 2's and
// Gemma's on characters.
#pragma once

#include <optional>
#include <unordered_map>
#include <vector>

#include "core/json.h"
#include "text/added_tokens.h"
#include "text/bpe_model.h"
#include "text/decoder.h"
#include "text/normalizer.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"
#include "text/tokenizer_choices.h"

namespace lookback {

// Gives the ids that the `tokenizers` package gives without special tokens added (its post-processor is passed over).
// Added tokens that occur in the text become their ids, as there. A byte that is no valid UTF-8 is a word of its own;
// on a vocabulary of bytes without normalizer, decoding gives back any input.
class BpeTokenizer : public Tokenizer {
 public:
  static constexpr const char* file_name = "tokenizer.json";

  // Throws Error naming what in the file is broken or not supported.
  BpeTokenizer(const std::filesystem::path& path, const TokenizerChoices& choices);

  using Tokenizer::decode;
  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<std::int32_t>& ids) const override { encode_text(text, true, ids); }
  void decode(std::int32_t id, std::string& text) const override;
  std::int32_t vocab_size() const override { return static_cast<std::int32_t>(bytes_of_.size()); }
  std::vector<std::int32_t> unused_ids() const override;
  std::int32_t end_of_text_id() const override { return end_of_text_id_; }
  std::string fingerprint() const override { return fingerprint_; }
  bool puts_blank_before_text() const override { return drops_leading_blank_; }
  // Behind a letter that no letter follows, where the patterns are common ones; before a blank between two words of
  // ASCII letters, where blanks become U+2581 and no merge reaches over the place.
  std::size_t safe_prefix(std::string_view text) const override;
  void encode_continuation(std::string_view text, std::vector<std::int32_t>& ids) const override {
    encode_text(text, false, ids);
  }
  void save(const std::filesystem::path& folder) const override;

 private:
  struct File {
    std::string source, content;
    LookupJson json;
  };
  static File read(const std::filesystem::path& path);
  BpeTokenizer(File file, const TokenizerChoices& choices);
  void read_added_tokens(const LookupJson& file, const Decoder& decoder, const std::string& source);
  void add_token(const LookupJson& value, const Decoder& decoder, const std::string& place);
  // The added token that one of the usual names makes the end of a text.
  std::optional<std::int32_t> default_end_of_text() const;
  bool names_end_of_text(std::int32_t id) const;
  std::int32_t find_end_of_text(const std::string& chosen, const std::string& source) const;

  void encode_text(std::string_view text, bool begins, std::vector<std::int32_t>& ids) const;
  void encode_part(std::string_view text, TextPlace place, std::vector<std::int32_t>& ids) const;
  void encode_valid(std::string_view text, TextPlace place, std::vector<std::int32_t>& ids) const;
  void encode_word(std::string_view word, std::vector<std::int32_t>& ids) const;

  std::size_t safe_prefix_at_letters(std::string_view text) const;
  std::size_t safe_prefix_at_blanks(std::string_view text) const;
  bool cuts_before_blank(std::string_view letter_blank_letter) const;

  std::string file_content_;
  TokenizerChoices choices_;
  std::string fingerprint_;
  std::uint64_t instance_;  // tells threads' word caches apart
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  BpeModel model_;
  std::vector<std::optional<std::string>> bytes_of_;  // by id; nothing for ids that the file skips
  AddedTokens raw_tokens_;
  AddedTokens normalized_tokens_;
  std::unordered_map<std::string, std::int32_t> added_;  // contents as the file writes them
  std::vector<bool> is_added_;                           // by id
  bool has_special_ = false;
  bool drops_leading_blank_ = false;
  bool may_be_cut_ = false;  // somewhere, as safe_prefix says
  std::int32_t end_of_text_id_ = -1;
};

}  // namespace lookback
