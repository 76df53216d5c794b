#include "generate/text_session.h"

#include <utility>

namespace lookback {

TextSession new_text_session(const Model& model, at::ScalarType dtype, std::shared_ptr<const MemorySet> memories) {
  TextSession text;
  text.sequence = model.new_sequence(dtype);
  text.sequence->attach(memories);
  text.memories = std::move(memories);
  return text;
}

std::vector<std::int64_t> encode_behind(const TextSession& text, std::string_view words, const Tokenizer& tokenizer) {
  std::vector<std::int32_t> ids;
  if (text.ids.empty() || text.ids.back() == tokenizer.end_of_text_id()) {
    tokenizer.encode(words, ids);
  } else {
    tokenizer.encode_continuation(words, ids);
  }
  return {ids.begin(), ids.end()};
}

}  // namespace lookback
