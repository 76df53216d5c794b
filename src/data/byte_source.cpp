#include "data/byte_source.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/file_operations.h"

namespace lookback {
namespace {

constexpr std::size_t input_bytes = 1 << 18;

class RawFile : public ByteSource {
 public:
  explicit RawFile(const std::filesystem::path& path)
      : name_(path.string()), descriptor_(file_operations().open(path.c_str(), O_RDONLY | O_CLOEXEC, 0)) {
    if (descriptor_ < 0) fail("cannot read {}: {}", name_, std::strerror(errno));
  }
  ~RawFile() override { ::close(descriptor_); }
  RawFile(const RawFile&) = delete;
  RawFile& operator=(const RawFile&) = delete;

  std::size_t read(char* out, std::size_t capacity) override {
    const ssize_t count = uninterrupted([&] { return file_operations().read(descriptor_, out, capacity); });
    if (count < 0) fail("cannot read {}: {}", name_, std::strerror(errno));
    position_ += count;
    return static_cast<std::size_t>(count);
  }

  void skip(std::int64_t bytes) override {
    if (::lseek(descriptor_, bytes, SEEK_CUR) < 0) fail("cannot read {}: {}", name_, std::strerror(errno));
    position_ += bytes;
  }

  std::int64_t disk_position() const override { return position_; }
  const std::string& name() const { return name_; }

 private:
  std::string name_;
  int descriptor_;
  std::int64_t position_ = 0;
};

class ZstdSource : public ByteSource {
 public:
  explicit ZstdSource(const std::filesystem::path& path)
      : file_(path), stream_(ZSTD_createDStream(), ZSTD_freeDStream), buffer_(input_bytes) {
    require(stream_ != nullptr, "cannot read {}: no memory for zstd", file_.name());
    // Large corpora are compressed with --long=27 and more, over the default limit of the library.
    constexpr int largest_window_log = 31;
    ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, largest_window_log);
  }

  std::size_t read(char* out, std::size_t capacity) override {
    ZSTD_outBuffer output{out, capacity, 0};
    while (output.pos == 0 && capacity > 0) {
      if (input_.pos == input_.size && !at_end_) {
        input_ = {buffer_.data(), file_.read(buffer_.data(), buffer_.size()), 0};
        at_end_ = input_.size == 0;
      }
      if (at_end_ && frame_done_) {
        require(file_.disk_position() > 0, "{}: is empty, no zstd file; make it again", file_.name());
        return 0;
      }
      const std::size_t hint = ZSTD_decompressStream(stream_.get(), &output, &input_);
      if (ZSTD_isError(hint) != 0) {
        fail("{}: corrupt zstd data near byte {}: {}; make it again", file_.name(), file_.disk_position(),
             ZSTD_getErrorName(hint));
      }
      frame_done_ = hint == 0;
      require(!at_end_ || frame_done_ || output.pos > 0,
              "{}: truncated: the zstd data ends in the middle, after {} bytes; make it again", file_.name(),
              file_.disk_position());
    }
    return output.pos;
  }

  std::int64_t disk_position() const override { return file_.disk_position(); }

 private:
  RawFile file_;
  std::unique_ptr<ZSTD_DStream, std::size_t (*)(ZSTD_DStream*)> stream_;
  std::vector<char> buffer_;
  ZSTD_inBuffer input_{nullptr, 0, 0};
  bool at_end_ = false;
  bool frame_done_ = true;
};

class GzipSource : public ByteSource {
 public:
  explicit GzipSource(const std::filesystem::path& path) : file_(path), buffer_(input_bytes) {
    constexpr int gzip_only = 15 + 16;
    require(inflateInit2(&stream_, gzip_only) == Z_OK, "cannot read {}: no memory for zlib", file_.name());
  }
  ~GzipSource() override { inflateEnd(&stream_); }
  GzipSource(const GzipSource&) = delete;
  GzipSource& operator=(const GzipSource&) = delete;

  std::size_t read(char* out, std::size_t capacity) override {
    capacity = std::min(capacity, std::size_t{1} << 30);
    stream_.next_out = reinterpret_cast<Bytef*>(out);
    stream_.avail_out = static_cast<uInt>(capacity);
    while (stream_.avail_out == capacity && capacity > 0) {
      if (stream_.avail_in == 0 && !refill()) {
        require(file_.disk_position() > 0, "{}: is empty, no gzip file; make it again", file_.name());
        require(member_done_, "{}: truncated: the gzip data ends in the middle, after {} bytes; make it again",
                file_.name(), file_.disk_position());
        return 0;
      }
      if (member_done_) {
        inflateReset(&stream_);
        member_done_ = false;
      }
      const int code = inflate(&stream_, Z_NO_FLUSH);
      if (code == Z_STREAM_END) {
        member_done_ = true;
      } else if (code != Z_OK && code != Z_BUF_ERROR) {
        fail("{}: corrupt gzip data near byte {}: {}; make it again", file_.name(), file_.disk_position(),
             stream_.msg != nullptr ? stream_.msg : "unknown reason");
      }
    }
    return capacity - stream_.avail_out;
  }

  std::int64_t disk_position() const override { return file_.disk_position(); }

 private:
  bool refill() {
    const std::size_t count = file_.read(buffer_.data(), buffer_.size());
    stream_.next_in = reinterpret_cast<Bytef*>(buffer_.data());
    stream_.avail_in = static_cast<uInt>(count);
    return count > 0;
  }

  RawFile file_;
  std::vector<char> buffer_;
  z_stream stream_{};
  bool member_done_ = true;
};

// `extension` in lower case; the file's may be in capitals.
bool has_extension(const std::filesystem::path& path, std::string_view extension) {
  return std::ranges::equal(path.extension().string(), extension,
                            [](unsigned char a, unsigned char b) { return std::tolower(a) == b; });
}

}  // namespace

void ByteSource::skip(std::int64_t bytes) {
  std::vector<char> buffer(input_bytes);
  while (bytes > 0) {
    const auto wanted = std::min(bytes, static_cast<std::int64_t>(buffer.size()));
    const std::size_t count = read(buffer.data(), static_cast<std::size_t>(wanted));
    require(count > 0, "an input ends {} bytes before the place where the work stopped", bytes);
    bytes -= static_cast<std::int64_t>(count);
  }
}

std::unique_ptr<ByteSource> open_byte_source(const std::filesystem::path& path) {
  if (has_extension(path, ".zst")) return std::make_unique<ZstdSource>(path);
  if (has_extension(path, ".gz")) return std::make_unique<GzipSource>(path);
  return std::make_unique<RawFile>(path);
}

bool is_compressed_name(const std::filesystem::path& path) {
  return has_extension(path, ".zst") || has_extension(path, ".gz");
}

}  // namespace lookback
