#include "core/file_operations.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

namespace lookback {

FileOperations& file_operations() {
  static FileOperations operations = {
      .open = [](const char* path, int flags, mode_t mode) { return ::open(path, flags, mode); },
      .read = ::read,
      .write = ::write,
      .pwrite = ::pwrite,
      .ftruncate = ::ftruncate,
      .fsync = ::fsync,
      .rename = std::rename};
  return operations;
}

}  // namespace lookback
