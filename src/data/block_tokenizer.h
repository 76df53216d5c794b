// A block of text to the tokens of its documents: what the workers of `prepare` do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "data/block_texts.h"
#include "data/document_reader.h"
#include "text/tokenizer.h"

namespace lookback {

// A document, or for a text block its part in the block.
struct TokenizedDocument {
  std::int64_t line = 0;  // with which it, or the part, begins
  std::int64_t num_tokens = 0;
  std::int64_t text_bytes = 0;
  std::uint64_t content_hash = 0;  // of the document (text_pieces.h)
};

struct TokenizedBlock {
  TextBlock block;                // without its text
  std::vector<std::byte> tokens;  // of all documents one after another, as they lie in a shard
  std::vector<TokenizedDocument> documents;
  std::vector<DocumentProblem> problems;
  std::int64_t text_bytes = 0;  // decompressed input bytes of the block
};

// `field`: of a JSON line, holds the text. A long text is cut as text_pieces.h says wherever it comes from.
TokenizedBlock tokenize_block(TextBlock block, const Tokenizer& tokenizer, const std::string& field);

// One id as it lies in a shard, appended.
void append_id(std::int64_t id, std::int64_t element_bytes, std::vector<std::byte>& bytes);

}  // namespace lookback
