// Input files as blocks of text small enough to hold, in an order and with borders that depend on nothing but
// the files, so that work can stop after any block and go on there.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/byte_source.h"
#include "data/input_files.h"

namespace lookback {

// Where to go on: the decompressed bytes and the lines of input `input` before the next block.
struct InputPosition {
  std::int64_t input = 0;
  std::int64_t offset = 0;
  std::int64_t line = 0;
};

// A piece of one document (text), or whole lines, a document each (JSON lines).
struct TextBlock {
  std::int64_t input = 0;
  InputFormat format = InputFormat::text;
  std::string text;
  std::int64_t first_line = 1;    // number of the first line, for messages
  bool begins_document = false;   // of text blocks
  bool ends_document = false;     // of text blocks
  std::int64_t num_too_long = 0;  // 1: in place of a JSON line above the limit, whose text was dropped
  InputPosition next;
  std::int64_t disk_bytes = 0;  // of all inputs, read up to here
};

// A JSON line above this is a broken line: it would not fit into a bounded memory.
inline constexpr std::size_t longest_line_bytes = std::size_t{256} << 20;

class DocumentReader {
 public:
  // `files` must live as long as the reader.
  DocumentReader(const std::vector<InputFile>& files, const InputPosition& start);

  // The next block, or nothing at the end. Throws Error naming the file: not readable, truncated, changed
  // since it was listed.
  std::optional<TextBlock> next();

 private:
  void open();
  void close();
  // Tries to hold `bytes` unread bytes.
  void fill(std::size_t bytes);
  // Takes `bytes` from the buffer and moves the position on.
  std::string take(std::size_t bytes);
  TextBlock next_piece();
  TextBlock next_lines();
  void drop_line();

  const std::vector<InputFile>* files_;
  InputPosition position_;
  std::int64_t disk_bytes_before_ = 0;  // of the inputs before this
  std::unique_ptr<ByteSource> source_;
  std::string buffer_;
  bool source_at_end_ = false;
};

}  // namespace lookback
