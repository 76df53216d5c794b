#include "data/growing_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"
#include "core/file_operations.h"

namespace lookback {
namespace {

[[noreturn]] void fail_to_write(const std::filesystem::path& path) {
  const int code = errno;
  fail("cannot write {}: {}; what was finished before is kept: make room and run the same command again", path.string(),
       std::strerror(code));
}

bool cut(int descriptor, std::int64_t size_bytes) {
  return uninterrupted([&] { return file_operations().ftruncate(descriptor, size_bytes); }) == 0;
}

}  // namespace

GrowingFile::GrowingFile(const std::filesystem::path& path, std::int64_t size_bytes)
    : path_(path),
      descriptor_(file_operations().open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)),
      size_bytes_(size_bytes) {
  if (descriptor_ < 0) fail_to_write(path);
  struct stat status{};
  const bool known = ::fstat(descriptor_, &status) == 0;
  if (!known || status.st_size < size_bytes || !cut(descriptor_, size_bytes)) {
    ::close(descriptor_);
    require(!known || status.st_size >= size_bytes,
            "{}: {} bytes, at least {} were written: the unfinished work is damaged; start again (force)",
            path.string(), static_cast<std::int64_t>(status.st_size), size_bytes);
    fail_to_write(path);
  }
}

GrowingFile::~GrowingFile() { ::close(descriptor_); }

void GrowingFile::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count =
        uninterrupted([&] { return file_operations().pwrite(descriptor_, bytes.data(), bytes.size(), size_bytes_); });
    if (count < 0) fail_to_write(path_);
    size_bytes_ += count;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void GrowingFile::truncate(std::int64_t size_bytes) {
  if (!cut(descriptor_, size_bytes)) fail_to_write(path_);
  size_bytes_ = size_bytes;
}

void GrowingFile::sync() {
  if (uninterrupted([&] { return file_operations().fsync(descriptor_); }) != 0) fail_to_write(path_);
}

}  // namespace lookback
