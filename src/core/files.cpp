#include "core/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace lookback {
namespace {

[[noreturn]] void fail_with_errno(std::string_view action, const std::filesystem::path& path) {
  const int code = errno;
  fail("cannot {} {}: {}", action, path.string(), std::strerror(code));
}

// A file descriptor that closes itself.
class Descriptor {
 public:
  // `named`: the path that a person knows, for the error.
  Descriptor(const std::filesystem::path& path, int flags, std::string_view action, const std::filesystem::path& named)
      : value_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {
    if (value_ < 0) fail_with_errno(action, named);
  }
  Descriptor(const std::filesystem::path& path, int flags, std::string_view action)
      : Descriptor(path, flags, action, path) {}
  ~Descriptor() { ::close(value_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

}  // namespace

std::string read_file(const std::filesystem::path& path) {
  const Descriptor file(path, O_RDONLY, "read");
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) fail_with_errno("read", path);
  if (S_ISDIR(status.st_mode)) fail("cannot read {}: it is a folder, a file was expected", path.string());
  std::string content;
  content.reserve(static_cast<std::size_t>(status.st_size));
  char buffer[1 << 16];
  while (true) {
    const ssize_t count = ::read(file.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_with_errno("read", path);
    if (count == 0) return content;
    content.append(buffer, static_cast<std::size_t>(count));
  }
}

void write_atomically(const std::filesystem::path& path,
                      const std::function<void(const std::filesystem::path& temporary)>& write) {
  std::filesystem::path temporary = path;
  temporary += ".tmp" + std::to_string(::getpid());
  try {
    write(temporary);
    sync_path(temporary);
    if (::rename(temporary.c_str(), path.c_str()) != 0) fail_with_errno("write", path);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_path(folder_of(path));
}

void write_file_atomic(const std::filesystem::path& path, std::string_view content) {
  write_atomically(path, [&](const std::filesystem::path& temporary) {
    const Descriptor file(temporary, O_WRONLY | O_CREAT | O_TRUNC, "write", path);
    while (!content.empty()) {
      const ssize_t count = ::write(file.get(), content.data(), content.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail_with_errno("write", path);
      content.remove_prefix(static_cast<std::size_t>(count));
    }
  });
}

void sync_path(const std::filesystem::path& path) {
  const Descriptor file(path, O_RDONLY, "sync");
  if (::fsync(file.get()) != 0) fail_with_errno("sync", path);
}

void publish_folder(const std::filesystem::path& finished, const std::filesystem::path& target) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(finished)) sync_path(entry.path());
  sync_path(finished);
  if (::rename(finished.c_str(), target.c_str()) != 0) fail_with_errno("write", target);
  sync_path(folder_of(target));
}

MappedFile::MappedFile(const std::filesystem::path& path) {
  const Descriptor file(path, O_RDONLY, "read");
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) fail_with_errno("read", path);
  if (!S_ISREG(status.st_mode)) fail("cannot map {}: it is not a regular file", path.string());
  size_bytes_ = static_cast<std::size_t>(status.st_size);
  if (size_bytes_ == 0) return;
  void* mapping = ::mmap(nullptr, size_bytes_, PROT_READ, MAP_SHARED, file.get(), 0);
  if (mapping == MAP_FAILED) fail_with_errno("map", path);
  data_ = mapping;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<void*>(data_), size_bytes_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_bytes_(std::exchange(other.size_bytes_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

}  // namespace lookback
