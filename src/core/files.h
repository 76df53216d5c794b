// Files: whole reads, atomic writes, read-only mappings. Every error names the path and the system's reason.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace lookback {

// The whole content of a file. Throws Error if it cannot be read.
std::string read_file(const std::filesystem::path& path);

// The door for every file that is written as a whole, above all where a person named the path. A plain file, also
// behind symbolic links, is written so that a crash at any moment leaves either the old content or the new one: a
// temporary file beside it, with the old one's owner and permissions, fsync, rename, fsync of the folder. Pipes,
// devices and open descriptors (/dev/stdout, /dev/fd/3) are written to. Throws Error (disk full, no permission, a
// folder, ...).
void write_file_atomic(const std::filesystem::path& path, std::string_view content);

// The same for a file that write(path to write to) makes.
void write_atomically(const std::filesystem::path& path,
                      const std::function<void(const std::filesystem::path& temporary)>& write);

// Throws Error when write_file_atomic() could not write there: asked before long work.
void check_output_file(const std::filesystem::path& path);

// Writes all of `content` to an open file; `path` is for the Error.
void write_all(int descriptor, std::string_view content, const std::filesystem::path& path);

// Makes what was written to a file or folder durable. Throws Error.
void sync_path(const std::filesystem::path& path);

// Replaces `target` by the folder `finished` (both on one file system): syncs everything in `finished`, then
// renames. A crash leaves `finished` or `target` whole. `target` must not exist or be an empty folder.
void publish_folder(const std::filesystem::path& finished, const std::filesystem::path& target);

// A file that is written from its beginning to its end; made, or emptied, by the constructor. Throws Error.
class OutputFile {
 public:
  explicit OutputFile(const std::filesystem::path& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::string_view content) { write_all(descriptor_, content, path_); }

 private:
  std::filesystem::path path_;
  int descriptor_;
};

// A whole file mapped read-only. Movable; the mapping ends with the object. An empty file gives an empty span.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(data_), size_bytes_}; }

 private:
  const void* data_ = nullptr;
  std::size_t size_bytes_ = 0;
};

}  // namespace lookback
