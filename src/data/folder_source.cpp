#include "data/folder_source.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "core/byte_order_mark.h"
#include "core/shown_text.h"
#include "data/text_pieces.h"
#include "text/utf8.h"

namespace lookback {
namespace {

class FolderSource : public ByteSource {
 public:
  FolderSource(const InputFile& folder, OnLeftOutFile left_out) : folder_(folder), left_out_(std::move(left_out)) {}

  std::size_t read(char* out, std::size_t capacity) override {
    while (given_ == text_.size()) {
      if (next_ == folder_.members.size()) return 0;
      load(folder_.members[next_++]);
    }
    const std::size_t count = std::min(capacity, text_.size() - given_);
    std::memcpy(out, text_.data() + given_, count);
    given_ += count;
    offset_ += static_cast<std::int64_t>(count);
    return count;
  }

  std::int64_t disk_position() const override { return disk_bytes_; }

 private:
  void load(const InputFile& file) {
    given_ = 0;
    // A name is bytes; the text is UTF-8, and the header a line.
    std::string name = shown_text(file.path.lexically_relative(folder_.path.parent_path()).generic_string());
    std::ranges::replace(name, '\n', ' ');
    text_ = "# file: " + name + "\n";
    const std::size_t header_bytes = text_.size();
    const bool whole = append_content(file);
    std::string_view content = std::string_view(text_).substr(header_bytes);
    const std::size_t valid = valid_utf8_prefix(content);
    if (!whole) {
      leave_out(file, fmt::format("is longer than {} MiB, too long for a file of a joined folder",
                                  longest_piece_bytes >> 20));
      return;
    }
    if (valid != content.size()) {
      leave_out(file, fmt::format("invalid UTF-8 at byte {}", valid + 1));
      return;
    }
    text_.erase(header_bytes, content.size() - without_byte_order_mark(content).size());
    if (text_.back() != '\n') text_ += '\n';
  }

  // False: the file is too long; it is read to its end all the same, which says whether it is whole on disk.
  bool append_content(const InputFile& file) {
    constexpr std::size_t step = std::size_t{1} << 18;
    const auto source = open_byte_source(file.path);
    const std::size_t begin = text_.size();
    bool whole = true;
    while (true) {
      const std::size_t before = text_.size();
      text_.resize(before + step);
      const std::size_t count = source->read(text_.data() + before, step);
      text_.resize(before + count);
      if (count == 0) break;
      if (text_.size() - begin > longest_piece_bytes) {
        whole = false;
        text_.resize(begin);
      }
    }
    disk_bytes_ += source->disk_position();
    return whole;
  }

  void leave_out(const InputFile& file, const std::string& reason) {
    text_.clear();
    left_out_(offset_, fmt::format("{}: {}", file.path.string(), reason));
  }

  const InputFile& folder_;
  OnLeftOutFile left_out_;
  std::size_t next_ = 0;         // of the members
  std::string text_;             // of the current member, with its header
  std::size_t given_ = 0;        // of text_
  std::int64_t offset_ = 0;      // in the joined text
  std::int64_t disk_bytes_ = 0;  // of the members read so far
};

}  // namespace

std::unique_ptr<ByteSource> open_folder_source(const InputFile& folder, OnLeftOutFile left_out) {
  return std::make_unique<FolderSource>(folder, std::move(left_out));
}

}  // namespace lookback
