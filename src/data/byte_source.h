// The bytes of a file, decompressed by its name: .zst (any window, several frames), .gz (several members).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

namespace lookback {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Fills `out` with up to `capacity` bytes; 0 only at the end. Throws Error naming the file when it cannot be
  // read, is truncated or corrupt.
  virtual std::size_t read(char* out, std::size_t capacity) = 0;
  // Passes over `bytes` decompressed bytes. Throws Error when there are fewer.
  virtual void skip(std::int64_t bytes);
  // Bytes of the file on disk that were taken so far.
  virtual std::int64_t disk_position() const = 0;
};

std::unique_ptr<ByteSource> open_byte_source(const std::filesystem::path& path);

// Whether the name says that the file is compressed: .zst or .gz.
bool is_compressed_name(const std::filesystem::path& path);

}  // namespace lookback
