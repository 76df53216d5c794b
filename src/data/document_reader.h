// Input files as blocks of text small enough to hold, in an order and with borders that depend on nothing but
// the files, so that work can stop after any block and go on there.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/byte_source.h"
#include "data/input_files.h"
#include "lookback/stop.h"
#include "text/tokenizer.h"

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
  std::int64_t first_line = 1;     // number of the first line, for messages
  bool begins_document = false;    // of text blocks
  std::uint64_t content_hash = 0;  // of the document that a text block begins (text_pieces.h)
  bool ends_document = false;      // of text blocks
  // Files of a joined folder that are not in the text, "PATH: reason" (folder_source.h).
  std::vector<std::string> left_out;
  bool too_long = false;  // in place of a JSON line or the rest of a text above the limit, which was dropped
  InputPosition next;
  std::int64_t disk_bytes = 0;  // of all inputs, read up to here
};

// A JSON line above this is a broken line: it would not fit into a bounded memory.
inline constexpr std::size_t longest_line_bytes = std::size_t{256} << 20;

class DocumentReader {
 public:
  // `files` and `tokenizer`, which says where texts may be cut, must live as long as the reader. `stop`, asked while
  // a long way is read to `start` or to the end of a text, ends the reading.
  DocumentReader(const std::vector<InputFile>& files, const InputPosition& start, const Tokenizer& tokenizer,
                 StopToken stop);

  // The next block, or nothing at the end (and after `stop`). Throws Error naming the file: not readable, truncated,
  // changed since it was listed.
  std::optional<TextBlock> next();

 private:
  // False: stopped.
  bool open();
  void close();
  // Tries to hold `bytes` unread bytes.
  void fill(std::size_t bytes);
  // Takes `bytes` from the buffer and moves the position on.
  std::string take(std::size_t bytes);
  TextBlock next_piece();
  TextBlock next_lines();
  void drop_line();
  void drop_document();
  // The files left out before `offset`, which are told once.
  std::vector<std::string> take_left_out(std::int64_t offset);

  const std::vector<InputFile>* files_;
  const Tokenizer* tokenizer_;
  StopToken stop_;
  InputPosition position_;
  std::int64_t disk_bytes_before_ = 0;  // of the inputs before this
  std::unique_ptr<ByteSource> source_;
  std::deque<std::pair<std::int64_t, std::string>> left_out_;  // of a joined folder: offset in its text, reason
  std::string buffer_;
  bool source_at_end_ = false;
};

}  // namespace lookback
