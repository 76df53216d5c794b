// The decoder of a tokenizer.json: what its tokens stand for.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/json.h"
#include "text/regex.h"

namespace lookback {

class Decoder {
 public:
  // `value`: the field "decoder". Throws Error naming `source` and what is not supported, such as a step that would
  // have to see several tokens at once.
  Decoder(const LookupJson& value, const std::string& source);

  // The bytes that a token stands for. is_added: one of the added tokens, which are not written in GPT-2's alphabet.
  std::string bytes_of(std::string_view token, bool is_added) const;

  // Whether one blank that a decoded text begins with is no part of it.
  bool drops_leading_blank() const { return drops_leading_blank_; }

 private:
  struct ByteLevel {};
  struct ByteFallback {};
  struct Replace {
    Regex pattern;
    std::string content;
  };
  struct Strip {
    std::string character;
    std::size_t most_at_start, most_at_end;
  };
  using Step = std::variant<ByteLevel, ByteFallback, Replace, Strip>;

  void read_step(const LookupJson& value, const std::string& source);
  void read_strip(const LookupJson& value, const std::string& place);

  std::vector<Step> steps_;
  bool is_fused_ = false;  // while reading: further steps see the whole text
  bool drops_leading_blank_ = false;
};

}  // namespace lookback
