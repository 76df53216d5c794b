// The texts in a block of an input: a piece of a document, or what the JSON lines hold.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data/document_reader.h"

namespace lookback {

// A document that is left out.
struct DocumentProblem {
  std::int64_t line = 0;
  std::string message;
};

// Calls on_text for each text of `block`, whose bytes are `text`, with the line with which it begins: valid UTF-8, not
// empty. `field`: of a JSON line, holds the text. Returns what had to be left out.
std::vector<DocumentProblem> read_block_texts(const TextBlock& block, std::string_view text, const std::string& field,
                                              const std::function<void(std::string_view, std::int64_t)>& on_text);

}  // namespace lookback
