// The embedded default: a token is a byte (0..255); 256 ends a document.
#pragma once

#include "text/tokenizer.h"

namespace lookback {

class BytesTokenizer : public Tokenizer {
 public:
  static constexpr const char* name = "bytes";

  using Tokenizer::decode;
  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<std::int32_t>& ids) const override;
  // The end of a document stands for no bytes.
  void decode(std::int32_t id, std::string& text) const override;
  std::int32_t vocab_size() const override { return 257; }
  std::int32_t end_of_text_id() const override { return 256; }
  std::string fingerprint() const override { return "0000000000000101"; }
  std::size_t safe_prefix(std::string_view text) const override;
  void save(const std::filesystem::path& folder) const override;
};

}  // namespace lookback
