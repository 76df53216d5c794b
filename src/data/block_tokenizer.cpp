#include "data/block_tokenizer.h"

#include <cstring>
#include <string_view>
#include <utility>

#include "data/manifest.h"
#include "data/text_pieces.h"

namespace lookback {
namespace {

class BlockTokenizer {
 public:
  BlockTokenizer(const Tokenizer& tokenizer, TokenizedBlock& out)
      : tokenizer_(tokenizer), element_bytes_(element_bytes_for(tokenizer.vocab_size())), out_(out) {}

  void add_document(std::string_view text, std::int64_t line) {
    TokenizedDocument document;
    document.line = line;
    document.text_bytes = static_cast<std::int64_t>(text.size());
    document.content_hash = content_hash(text);
    for (bool is_first = true; !text.empty(); is_first = false) {
      const std::size_t size = piece_size(text, true, tokenizer_);
      encode(text.substr(0, size), is_first);
      document.num_tokens += static_cast<std::int64_t>(ids_.size());
      text.remove_prefix(size);
    }
    out_.documents.push_back(document);
  }

  void add_piece(std::string_view text) {
    encode(text, out_.block.begins_document);
    out_.documents.push_back({.line = out_.block.first_line,
                              .num_tokens = static_cast<std::int64_t>(ids_.size()),
                              .text_bytes = static_cast<std::int64_t>(text.size()),
                              .content_hash = out_.block.content_hash});
  }

 private:
  void encode(std::string_view text, bool is_first) {
    ids_.clear();
    is_first ? tokenizer_.encode(text, ids_) : tokenizer_.encode_continuation(text, ids_);
    pack();
  }

  void pack() {
    const std::size_t before = out_.tokens.size();
    if (element_bytes_ == 4) {
      out_.tokens.resize(before + ids_.size() * 4);
      if (!ids_.empty()) std::memcpy(out_.tokens.data() + before, ids_.data(), ids_.size() * 4);
      return;
    }
    out_.tokens.resize(before + ids_.size() * 2);
    std::byte* target = out_.tokens.data() + before;
    for (std::size_t i = 0; i < ids_.size(); ++i) {
      const auto id = static_cast<std::uint16_t>(ids_[i]);
      std::memcpy(target + 2 * i, &id, 2);
    }
  }

  const Tokenizer& tokenizer_;
  std::int64_t element_bytes_;
  TokenizedBlock& out_;
  std::vector<std::int32_t> ids_;
};

}  // namespace

TokenizedBlock tokenize_block(TextBlock block, const Tokenizer& tokenizer, const std::string& field) {
  TokenizedBlock out;
  const std::string text = std::move(block.text);
  out.block = std::move(block);
  out.text_bytes = static_cast<std::int64_t>(text.size());
  BlockTokenizer block_tokenizer(tokenizer, out);
  out.problems = read_block_texts(out.block, text, field, [&](std::string_view found, std::int64_t line) {
    if (out.block.format == InputFormat::text) {
      block_tokenizer.add_piece(found);
    } else {
      block_tokenizer.add_document(found, line);
    }
  });
  return out;
}

void append_id(std::int64_t id, std::int64_t element_bytes, std::vector<std::byte>& bytes) {
  for (std::int64_t i = 0; i < element_bytes; ++i) {
    bytes.push_back(static_cast<std::byte>((id >> (8 * i)) & 255));
  }
}

}  // namespace lookback
