// A file that only grows at its end, can be cut back, and is durable when sync() says so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace lookback {

class GrowingFile {
 public:
  // Opens or makes the file and cuts it to `size_bytes`. Throws Error when it is shorter (the file is damaged).
  GrowingFile(const std::filesystem::path& path, std::int64_t size_bytes);
  ~GrowingFile();
  GrowingFile(const GrowingFile&) = delete;
  GrowingFile& operator=(const GrowingFile&) = delete;

  // Throws Error naming the file and the system's reason (disk full).
  void append(std::span<const std::byte> bytes);
  void truncate(std::int64_t size_bytes);
  void sync();
  std::int64_t size_bytes() const { return size_bytes_; }

 private:
  std::filesystem::path path_;
  int descriptor_;
  std::int64_t size_bytes_;
};

}  // namespace lookback
