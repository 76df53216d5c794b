// A text and what a model has read of it: what a conversation goes on from.
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
  std::unique_ptr<Sequence> sequence;         // may not have read the text's end yet
  std::shared_ptr<const MemorySet> memories;  // attached to it; nullptr: none
  std::vector<std::int64_t> ids;              // the text
  at::Tensor hidden;  // [1, 1, d] of the last token where the sequence has read all of the text, else undefined
};

// An empty text. Throws Error when the model takes no memories.
TextSession new_text_session(const Model& model, at::ScalarType dtype, std::shared_ptr<const MemorySet> memories);

// The ids of `words` behind the text: its continuation, nothing put between, or a text of its own where there is none
// before it or where that has ended (by an end-of-text token).
std::vector<std::int64_t> encode_behind(const TextSession& text, std::string_view words, const Tokenizer& tokenizer);

}  // namespace lookback
