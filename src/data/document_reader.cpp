#include "data/document_reader.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/byte_order_mark.h"
#include "core/error.h"
#include "data/folder_source.h"
#include "data/text_pieces.h"

namespace lookback {

DocumentReader::DocumentReader(const std::vector<InputFile>& files, const InputPosition& start,
                               const Tokenizer& tokenizer, StopToken stop)
    : files_(&files), tokenizer_(&tokenizer), stop_(std::move(stop)), position_(start) {
  for (std::int64_t i = 0; i < start.input; ++i) {
    disk_bytes_before_ += files[static_cast<std::size_t>(i)].size_bytes;
  }
}

std::optional<TextBlock> DocumentReader::next() {
  while (position_.input < static_cast<std::int64_t>(files_->size())) {
    const InputFile& file = (*files_)[static_cast<std::size_t>(position_.input)];
    const bool is_text = file.format == InputFormat::text;
    if (source_ == nullptr && !open()) return std::nullopt;
    fill(1);
    // A text file without text is a document too (an empty one, to be counted).
    const bool empty_document = is_text && position_.offset == 0;
    if (buffer_.empty() && !empty_document) {
      close();
      continue;
    }
    TextBlock block = is_text ? next_piece() : next_lines();
    block.input = position_.input;
    block.format = file.format;
    block.disk_bytes = disk_bytes_before_ + source_->disk_position();
    if (is_text && block.ends_document) close();
    block.next = position_;
    return block;
  }
  return std::nullopt;
}

bool DocumentReader::open() {
  const InputFile& file = (*files_)[static_cast<std::size_t>(position_.input)];
  left_out_.clear();
  source_ = file.members.empty() ? open_byte_source(file.path)
                                 : open_folder_source(file, [this](std::int64_t offset, std::string reason) {
                                     left_out_.emplace_back(offset, std::move(reason));
                                   });
  for (std::int64_t skipped = 0; skipped < position_.offset;) {
    if (stop_.stop_requested()) return false;
    const std::int64_t step = std::min<std::int64_t>(position_.offset - skipped, std::int64_t{16} << 20);
    source_->skip(step);
    skipped += step;
  }
  take_left_out(position_.offset);
  buffer_.clear();
  source_at_end_ = false;
  return true;
}

void DocumentReader::close() {
  const InputFile& file = (*files_)[static_cast<std::size_t>(position_.input)];
  require(source_->disk_position() == file.size_bytes, "{}: changed while it was read ({} bytes, now {}); start again",
          file.path.string(), file.size_bytes, source_->disk_position());
  disk_bytes_before_ += file.size_bytes;
  source_.reset();
  position_ = {position_.input + 1, 0, 0};
}

void DocumentReader::fill(std::size_t bytes) {
  while (buffer_.size() < bytes && !source_at_end_) {
    const std::size_t before = buffer_.size();
    const std::size_t wanted = std::max(bytes - before, std::size_t{1} << 16);
    buffer_.resize(before + wanted);
    const std::size_t count = source_->read(buffer_.data() + before, wanted);
    buffer_.resize(before + count);
    source_at_end_ = count == 0;
  }
}

std::string DocumentReader::take(std::size_t bytes) {
  std::string text = buffer_.substr(0, bytes);
  buffer_.erase(0, bytes);
  position_.offset += static_cast<std::int64_t>(bytes);
  position_.line += std::count(text.begin(), text.end(), '\n');
  return text;
}

TextBlock DocumentReader::next_piece() {
  TextBlock block;
  block.begins_document = position_.offset == 0;
  block.first_line = position_.line + 1;
  fill(piece_bytes + byte_order_mark.size() + 1);
  // Before the text, not of it: cuts and hashes are those of the same text without it.
  const std::size_t mark_bytes =
      block.begins_document ? buffer_.size() - without_byte_order_mark(buffer_).size() : std::size_t{0};
  const auto text = [&] { return std::string_view(buffer_).substr(mark_bytes); };
  if (block.begins_document) block.content_hash = content_hash(text());
  std::size_t size = 0;
  while ((size = piece_size(text(), source_at_end_, *tokenizer_)) == 0 && !source_at_end_) {
    if (buffer_.size() > longest_piece_bytes) {
      block.too_long = true;
      drop_document();
      break;
    }
    fill(2 * buffer_.size());
  }
  block.text = take(std::min(mark_bytes + size, buffer_.size())).erase(0, mark_bytes);
  fill(1);
  block.ends_document = buffer_.empty();
  block.left_out = take_left_out(block.ends_document ? std::numeric_limits<std::int64_t>::max() : position_.offset);
  return block;
}

std::vector<std::string> DocumentReader::take_left_out(std::int64_t offset) {
  std::vector<std::string> reasons;
  for (; !left_out_.empty() && left_out_.front().first < offset; left_out_.pop_front()) {
    reasons.push_back(std::move(left_out_.front().second));
  }
  return reasons;
}

TextBlock DocumentReader::next_lines() {
  TextBlock block;
  block.first_line = position_.line + 1;
  // Up to the first line end at or behind piece_bytes.
  std::size_t searched = piece_bytes - 1;
  fill(piece_bytes);
  while (true) {
    const std::size_t end = buffer_.find('\n', searched);
    if (end != std::string::npos) {
      block.text = take(end + 1);
      return block;
    }
    if (source_at_end_) {
      block.text = take(buffer_.size());
      return block;
    }
    if (buffer_.size() > longest_line_bytes + piece_bytes) break;
    searched = std::max(searched, buffer_.size());
    fill(buffer_.size() + piece_bytes);
  }
  // The line that is too long stands alone; what lies before it comes first.
  const std::size_t before = buffer_.rfind('\n', piece_bytes - 1);
  if (before != std::string::npos) {
    block.text = take(before + 1);
    return block;
  }
  block.too_long = true;
  drop_line();
  return block;
}

void DocumentReader::drop_line() {
  while (true) {
    const std::size_t end = buffer_.find('\n');
    if (end != std::string::npos) {
      take(end + 1);
      return;
    }
    take(buffer_.size());
    if (source_at_end_) return;
    fill(piece_bytes);
  }
}

void DocumentReader::drop_document() {
  while (!stop_.stop_requested()) {
    take(buffer_.size());
    if (source_at_end_) return;
    fill(piece_bytes);
  }
}

}  // namespace lookback
