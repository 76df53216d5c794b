// The system calls by which files are read and written, in one place, so that a test can put failing, short and
// interrupted ones in their stead.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <cstddef>

namespace lookback {

// Each as the call of its name: -1 and errno for a failure.
struct FileOperations {
  int (*open)(const char* path, int flags, mode_t mode);
  ssize_t (*read)(int descriptor, void* out, std::size_t size);
  ssize_t (*write)(int descriptor, const void* bytes, std::size_t size);
  ssize_t (*pwrite)(int descriptor, const void* bytes, std::size_t size, off_t offset);
  int (*ftruncate)(int descriptor, off_t size);
  int (*fsync)(int descriptor);
  int (*rename)(const char* from, const char* to);
};

// What core/files.h and data's files use: the system's, unless a test has exchanged them (before it starts threads).
FileOperations& file_operations();

// A call's result, begun again as long as a signal interrupts it.
template <typename Call>
auto uninterrupted(const Call& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

}  // namespace lookback
