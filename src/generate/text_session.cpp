#include "generate/text_session.h"

#include "core/error.h"

namespace lookback {

TextSession new_text_session(Model& model, at::ScalarType dtype, const std::vector<SearchedArchive>& memories) {
  TextSession text;
  text.session = model.new_session(1, dtype);
  text.memories = memories;
  for (const SearchedArchive& memory : memories) text.session->attach_memory(memory);
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

at::Tensor read_text(TextSession& text, const std::vector<std::int64_t>& new_ids, at::Device device,
                     const PrefillOptions& options) {
  text.ids.insert(text.ids.end(), new_ids.begin(), new_ids.end());
  require(!text.ids.empty(), "the prompt is empty: give at least one token to start from");
  const std::int64_t num_read = text.session->num_tokens(0);
  const std::int64_t num_unread = static_cast<std::int64_t>(text.ids.size()) - num_read;
  if (num_unread == 0) return text.hidden;
  text.hidden = at::Tensor();
  // A view: a prompt of millions of tokens is not copied. No operator writes to its input ids.
  const at::Tensor ids = at::from_blob(text.ids.data() + num_read, {1, num_unread}, at::kLong);
  text.hidden = text.session->prefill(ids.to(device), options);
  return text.hidden;
}

}  // namespace lookback
