// File operations that fail, for tests of what is left behind (core/file_operations.h).
#pragma once

#include <atomic>
#include <cerrno>

#include "core/file_operations.h"

namespace lookback {

// While it lives, operation number `first` of those by which files are opened, read, written and renamed fails with
// `error`, and in `lasting` failures all later ones but reads, too, as on a full disk. 0: none fails, but every other
// one is interrupted before it does anything, and reads and writes do a few bytes at a time. Nothing waits for the
// disk.
class FailingFiles {
 public:
  FailingFiles(int first, int error, bool lasting = false) : before_(file_operations()) {
    state() = {first, error, lasting, &before_};
    count() = 0;
    file_operations() = {
        .open = [](const char* path, int flags,
                   mode_t mode) { return fails(true) ? -1 : state().real->open(path, flags, mode); },
        .read =
            [](int descriptor, void* out, std::size_t size) {
              return fails(false, true) ? ssize_t{-1} : state().real->read(descriptor, out, some(size));
            },
        .write =
            [](int descriptor, const void* bytes, std::size_t size) {
              return fails(true, true) ? ssize_t{-1} : state().real->write(descriptor, bytes, some(size));
            },
        .pwrite =
            [](int descriptor, const void* bytes, std::size_t size, off_t offset) {
              return fails(true, true) ? ssize_t{-1} : state().real->pwrite(descriptor, bytes, some(size), offset);
            },
        .ftruncate = [](int descriptor,
                        off_t size) { return fails(true, true) ? -1 : state().real->ftruncate(descriptor, size); },
        .fsync = [](int) { return fails(true, true) ? -1 : 0; },
        .rename = [](const char* from, const char* to) { return fails(true) ? -1 : state().real->rename(from, to); }};
  }
  ~FailingFiles() { file_operations() = before_; }
  FailingFiles(const FailingFiles&) = delete;
  FailingFiles& operator=(const FailingFiles&) = delete;

  // Whether it came to the failure.
  bool has_failed() const { return count() >= state().first; }

 private:
  struct State {
    int first = 0;
    int error = 0;
    bool lasting = false;
    const FileOperations* real = nullptr;
  };
  static State& state() {
    static State only;
    return only;
  }
  static std::atomic<int>& count() {
    static std::atomic<int> only;
    return only;
  }
  static bool fails(bool writes, bool can_be_interrupted = false) {
    const int number = ++count();
    errno = state().error;
    if (state().first > 0) return number == state().first || (state().lasting && writes && number > state().first);
    errno = EINTR;
    return can_be_interrupted && number % 2 == 0;
  }
  static std::size_t some(std::size_t size) { return state().first > 0 || size < 7 ? size : 7; }

  FileOperations before_;
};

}  // namespace lookback
