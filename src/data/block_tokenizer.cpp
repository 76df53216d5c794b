#include "data/block_tokenizer.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "core/json_lines.h"
#include "data/manifest.h"
#include "data/text_pieces.h"
#include "text/utf8.h"

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

// The text of a JSON line, or the reason why there is none.
struct LineText {
  std::string text;
  std::string problem;
};

LineText line_text(std::string_view line, const std::string& field) {
  const std::size_t valid = valid_utf8_prefix(line);
  if (valid != line.size()) return {"", fmt::format("invalid UTF-8 at byte {} of the line", valid + 1)};
  auto [value, problem] = try_parse_json_line(line);
  if (!problem.empty()) return {"", std::move(problem)};
  if (!value.is_object()) return {"", "no JSON object"};
  const auto found = value.find(field);
  if (found == value.end()) return {"", fmt::format("no field \"{}\"", field)};
  if (!found->is_string()) return {"", fmt::format("field \"{}\" is no string", field)};
  if (found->get_ref<const std::string&>().empty()) return {"", fmt::format("field \"{}\" is empty", field)};
  return {std::move(found->get_ref<std::string&>()), ""};
}

std::string problem_of_length(InputFormat format) {
  if (format == InputFormat::jsonl) return fmt::format("the line is longer than {} MiB", longest_line_bytes >> 20);
  return fmt::format(
      "the tokenizer knows no place to cut in the next {} MiB; split the file, or give it line by line as .jsonl",
      longest_piece_bytes >> 20);
}

void tokenize_lines(std::string_view text, const std::string& field, TokenizedBlock& out, BlockTokenizer& tokenizer) {
  for (std::int64_t number = out.block.first_line; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (is_blank_line(line)) continue;
    const LineText found = line_text(line, field);
    if (found.problem.empty()) {
      tokenizer.add_document(found.text, number);
    } else {
      out.problems.push_back({number, found.problem});
    }
  }
}

void tokenize_piece(std::string_view text, TokenizedBlock& out, BlockTokenizer& tokenizer) {
  const std::size_t valid = valid_utf8_prefix(text);
  if (valid != text.size()) {
    const std::string_view before = text.substr(0, valid);
    const std::size_t line_begin = before.rfind('\n') + 1;  // npos + 1 = 0
    out.problems.push_back({out.block.first_line + std::count(before.begin(), before.end(), '\n'),
                            fmt::format("invalid UTF-8 at byte {} of the line", valid - line_begin + 1)});
  } else if (text.empty()) {
    out.problems.push_back(
        {1, out.block.left_out.empty() ? "the file is empty" : "none of the folder's files is text"});
  } else {
    tokenizer.add_piece(text);
  }
}

}  // namespace

TokenizedBlock tokenize_block(TextBlock block, const Tokenizer& tokenizer, const std::string& field) {
  TokenizedBlock out;
  const std::string text = std::move(block.text);
  out.block = std::move(block);
  out.text_bytes = static_cast<std::int64_t>(text.size());
  if (out.block.too_long) {
    out.problems.push_back({out.block.first_line, problem_of_length(out.block.format)});
    return out;
  }
  BlockTokenizer block_tokenizer(tokenizer, out);
  if (out.block.format == InputFormat::text) {
    tokenize_piece(text, out, block_tokenizer);
  } else {
    tokenize_lines(text, field, out, block_tokenizer);
  }
  return out;
}

void append_id(std::int64_t id, std::int64_t element_bytes, std::vector<std::byte>& bytes) {
  for (std::int64_t i = 0; i < element_bytes; ++i) {
    bytes.push_back(static_cast<std::byte>((id >> (8 * i)) & 255));
  }
}

}  // namespace lookback
