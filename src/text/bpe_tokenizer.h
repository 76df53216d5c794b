// Byte-level byte-pair encoding as GPT-2, Llama 3 and many others use it, read from a Hugging Face tokenizer.json.
#pragma once

#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "core/json.h"
#include "text/added_tokens.h"
#include "text/merge_table.h"
#include "text/tokenizer.h"
#include "text/word_splitter.h"

namespace lookback {

// Gives the ids that the `tokenizers` package gives without special tokens added. Added tokens that occur in the text
// become their ids, as there. A byte that is no valid UTF-8 is a word of its own, so that decoding gives back any
// input.
class BpeTokenizer : public Tokenizer {
 public:
  static constexpr const char* file_name = "tokenizer.json";

  // Throws Error naming what in the file is broken or not supported.
  explicit BpeTokenizer(const std::filesystem::path& path);

  using Tokenizer::decode;
  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<std::int32_t>& ids) const override;
  void decode(std::int32_t id, std::string& text) const override;
  std::int32_t vocab_size() const override { return static_cast<std::int32_t>(bytes_of_.size()); }
  std::vector<std::int32_t> unused_ids() const override;
  std::int32_t end_of_text_id() const override { return end_of_text_id_; }
  std::string fingerprint() const override { return fingerprint_; }
  // Behind a letter that no letter follows, where the pattern is one of the common ones.
  std::size_t safe_prefix(std::string_view text) const override;
  void encode_continuation(std::string_view text, std::vector<std::int32_t>& ids) const override;
  void save(const std::filesystem::path& folder) const override;

 private:
  void read_vocabulary(const LookupJson& model, const std::string& source);
  void read_merges(const LookupJson& model, const std::string& source);
  void read_added_tokens(const LookupJson& file, const std::string& source);
  void read_pre_tokenizer(const LookupJson& value, const std::string& source);
  void find_end_of_text(const std::string& source);

  // `text` without added tokens; with the blank before it that add_prefix_space asks for.
  void encode_prefixed(std::string_view text, std::vector<std::int32_t>& ids) const;
  void encode_plain(std::string_view text, std::vector<std::int32_t>& ids) const;
  void encode_words(std::string_view valid_text, std::vector<std::int32_t>& ids) const;
  void encode_word(std::string_view word, std::vector<std::int32_t>& ids) const;

  std::string file_content_;
  std::string fingerprint_;
  std::uint64_t instance_;                                    // tells threads' word caches apart
  std::unordered_map<std::string, std::int32_t> vocabulary_;  // by bytes
  std::vector<std::optional<std::string>> bytes_of_;          // by id; nothing for ids that the file skips
  std::array<std::int32_t, 256> id_of_byte_{};
  MergeTable merges_;
  bool ignore_merges_ = false;  // a word that is itself a token is taken whole
  AddedTokens added_tokens_;
  bool add_prefix_space_ = false;
  std::optional<WordSplitter> splitter_;        // nothing: the whole text is one word
  std::array<bool, 256> inside_added_token_{};  // by byte: comes in one, behind its first byte
  std::int32_t end_of_text_id_ = -1;
};

}  // namespace lookback
