// A session and the text that it holds: what a conversation goes on from.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "models/model.h"
#include "text/tokenizer.h"

namespace lookback {

struct TextSession {
  std::unique_ptr<Session> session;       // of one sequence
  std::vector<SearchedArchive> memories;  // attached to it, in this order
  std::vector<std::int64_t> ids;          // the text; the session may not have read its end yet
  at::Tensor hidden;  // [1, 1, d] of the last token where the session has read all of the text, else undefined
};

// An empty text. Throws Error when the model takes no memories.
TextSession new_text_session(Model& model, at::ScalarType dtype, const std::vector<SearchedArchive>& memories);

// The ids of `words` behind the text: its continuation, nothing put between, or a text of its own where there is none
// before it or where that has ended (by an end-of-text token).
std::vector<std::int64_t> encode_behind(const TextSession& text, std::string_view words, const Tokenizer& tokenizer);

// Appends new_ids to the text and has the session read all that it has not read. Returns the hidden states of the last
// token [1, 1, d]. Throws Error when the text is empty, and as Session::prefill does.
at::Tensor read_text(TextSession& text, const std::vector<std::int64_t>& new_ids, at::Device device,
                     const PrefillOptions& options);

}  // namespace lookback
