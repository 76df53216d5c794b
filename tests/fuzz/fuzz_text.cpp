// Tokenizers and the lines that `tokenize` and `detokenize` read.
#include <algorithm>
#include <sstream>
#include <string>

#include "fuzz/fuzz_input.h"
#include "fuzz/fuzz_targets.h"
#include "text/token_streams.h"
#include "text/tokenizer.h"

namespace lookback {
namespace {

// Whatever a file says, texts can be encoded, and what comes out can be decoded.
void use_tokenizer(const std::string& spec) {
  allow_errors([&spec] {
    const auto tokenizer = load_tokenizer(spec);
    for (const std::string_view text :
         {"", "Hello, world's 12345  \r\n\t tokens",
          "na\xc3\xafve \xe4\xb8\xad\xe6\x96\x87 \xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x94\xac",
          "a\xff\xfe\x80 <|endoftext|> <s> \xc3"}) {
      allow_errors([&] { tokenizer->decode(tokenizer->encode(text)); });
      tokenizer->safe_prefix(text);
    }
    std::string decoded;
    for (std::int32_t id = 0; id < std::min(tokenizer->vocab_size(), 300); ++id) tokenizer->decode(id, decoded);
    tokenizer->end_of_text_id();
    tokenizer->fingerprint();
  });
}

}  // namespace

void fuzz_tokenizer_json(std::string_view input) {
  static const FuzzFolder folder;
  use_tokenizer(folder.write("tokenizer.json", input).string());
}

void fuzz_sentencepiece_model(std::string_view input) {
  static const FuzzFolder folder;
  use_tokenizer(folder.write("tokenizer.model", input).string());
}

void fuzz_token_lines(std::string_view input) {
  static const auto tokenizer = load_tokenizer("bytes");
  for (const auto& stream : {tokenize_text, detokenize_text, tokenize_lines, detokenize_lines}) {
    std::istringstream in{std::string(input)};
    std::ostringstream out;
    allow_errors([&] { stream(*tokenizer, in, out, {}); });
  }
}

}  // namespace lookback
