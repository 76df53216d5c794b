#include "core/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/file_operations.h"
#include "core/standard_streams.h"

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
      : value_(file_operations().open(path.c_str(), flags | O_CLOEXEC, 0644)) {
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

// Where an output goes, links followed.
struct OutputTarget {
  std::filesystem::path path;
  bool in_place = false;   // no plain file that could be replaced
  bool is_stdout = false;  // our own
  std::optional<struct stat> before;
};

bool is_standard_output(const struct stat& status) {
  struct stat own{};
  return ::fstat(STDOUT_FILENO, &own) == 0 && own.st_dev == status.st_dev && own.st_ino == status.st_ino;
}

OutputTarget output_target(const std::filesystem::path& path) {
  OutputTarget target{.path = path, .before = std::nullopt};
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) {
      errno = EISDIR;
      fail_with_errno("write", path);
    }
    target.before = status;
    target.in_place = !S_ISREG(status.st_mode);
    target.is_stdout = is_standard_output(status);
    if (target.in_place || target.is_stdout) return target;
  }
  constexpr int most_links = 40;
  std::error_code error;
  for (int i = 0; std::filesystem::is_symlink(std::filesystem::symlink_status(target.path, error)); ++i) {
    if (i == most_links) {
      errno = ELOOP;
      fail_with_errno("write", path);
    }
    // A link to an open descriptor: whoever opened it goes on with that file.
    if (target.path.string().starts_with("/proc/")) {
      target.in_place = true;
      return target;
    }
    // An absolute one replaces the folder.
    target.path = folder_of(target.path) / std::filesystem::read_symlink(target.path, error);
    if (error) fail("cannot write {}: {}", path.string(), error.message());
  }
  return target;
}

// As far as we may.
void keep_owner_and_mode(const std::filesystem::path& file, const OutputTarget& target) {
  if (!target.before) return;
  [[maybe_unused]] const int owned = ::chown(file.c_str(), target.before->st_uid, target.before->st_gid);
  ::chmod(file.c_str(), target.before->st_mode & 07777);
}

void replace_atomically(const std::filesystem::path& path, const OutputTarget& target,
                        const std::function<void(const std::filesystem::path& temporary)>& write) {
  std::filesystem::path temporary = target.path;
  temporary += ".tmp" + std::to_string(::getpid());
  try {
    write(temporary);
    keep_owner_and_mode(temporary, target);
    sync_path(temporary);
    if (file_operations().rename(temporary.c_str(), target.path.c_str()) != 0) fail_with_errno("write", path);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_path(folder_of(target.path));
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
    const ssize_t count = uninterrupted([&] { return file_operations().read(file.get(), buffer, sizeof buffer); });
    if (count < 0) fail_with_errno("read", path);
    if (count == 0) return content;
    content.append(buffer, static_cast<std::size_t>(count));
  }
}

void write_atomically(const std::filesystem::path& path,
                      const std::function<void(const std::filesystem::path& temporary)>& write) {
  const OutputTarget target = output_target(path);
  if (target.in_place || target.is_stdout) return write(target.path);
  replace_atomically(path, target, write);
}

void write_file_atomic(const std::filesystem::path& path, std::string_view content) {
  const OutputTarget target = output_target(path);
  if (target.is_stdout) {
    // By the descriptor that everything else is printed to: nothing overwrites the other.
    write_output(content);
    return flush_output();
  }
  if (target.in_place) {
    const Descriptor file(target.path, O_WRONLY | O_APPEND, "write", path);
    return write_all(file.get(), content, path);
  }
  replace_atomically(path, target, [&](const std::filesystem::path& temporary) {
    const Descriptor file(temporary, O_WRONLY | O_CREAT | O_TRUNC, "write", path);
    write_all(file.get(), content, path);
  });
}

void check_output_file(const std::filesystem::path& path) {
  const OutputTarget target = output_target(path);
  if (target.is_stdout) return;
  const std::filesystem::path written = target.in_place ? target.path : folder_of(target.path) / ".";
  if (::access(written.c_str(), W_OK) != 0) fail_with_errno("write", path);
}

void write_all(int descriptor, std::string_view content, const std::filesystem::path& path) {
  while (!content.empty()) {
    const ssize_t count =
        uninterrupted([&] { return file_operations().write(descriptor, content.data(), content.size()); });
    if (count < 0) fail_with_errno("write", path);
    content.remove_prefix(static_cast<std::size_t>(count));
  }
}

void sync_path(const std::filesystem::path& path) {
  const Descriptor file(path, O_RDONLY, "sync");
  if (uninterrupted([&] { return file_operations().fsync(file.get()); }) != 0) fail_with_errno("sync", path);
}

void publish_folder(const std::filesystem::path& finished, const std::filesystem::path& target) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(finished)) sync_path(entry.path());
  sync_path(finished);
  if (file_operations().rename(finished.c_str(), target.c_str()) != 0) fail_with_errno("write", target);
  sync_path(folder_of(target));
}

OutputFile::OutputFile(const std::filesystem::path& path)
    : path_(path), descriptor_(file_operations().open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) {
  if (descriptor_ < 0) fail_with_errno("write", path);
}

OutputFile::~OutputFile() { ::close(descriptor_); }

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
