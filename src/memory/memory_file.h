// The file under a memory: who reads it and who writes to it, and which of its states is the current one.
//
// A memory is one file, known by what it is (its inode) and never by what it is called: all locks lie on the file
// itself, so links, other paths to its folder, a copy and a moved file need no thought, and there is no second file.
// Locks are those of open file descriptions (fcntl, F_OFD_SETLK): the system drops them with the process, however it
// ends, they need no more than the right to read, and they hold between the threads of one process, too.
//
//   byte of the file                locked by
//   lock_place + 0                  the one writer
//   lock_place + 1, + 2             whoever reads or writes a header
//   lock_place + 16 + number        a reader of the state with that number; number 0: one that is choosing its state
//
// lock_place lies far behind all content; a lock there needs no content under it.
//
// The first two pages hold a header each: states with even numbers use the first, odd ones the second. A commit writes
// everything else to places that no state uses which is still being read, makes it durable, then writes one header, 64
// bytes in one sector. So at every moment one header is whole, and it tells of nothing that could still change.
//
//   header: "lookback memory\n", uint64 version, number, catalog's place, its bytes, the end of all content,
//           then the checksum (xxhash64) of what is before it; little-endian
//
// Lookback 0.1 wrote LMDB's format. Its files are read (lmdb_catalog.h); the first commit makes them files of this one,
// in place: the content stays where it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace lookback {

// The unit in which space is used. No page of a committed state is ever written to.
inline constexpr std::uint64_t memory_page_bytes = 4096;
inline constexpr std::uint64_t memory_headers_bytes = 2 * memory_page_bytes;

inline std::uint64_t whole_pages(std::uint64_t bytes) {
  return (bytes + memory_page_bytes - 1) / memory_page_bytes * memory_page_bytes;
}

// A state of a memory.
struct MemoryState {
  enum class Layout { none, lmdb, catalog };  // none: a file that is being made
  Layout layout = Layout::none;
  std::uint64_t number = 0;         // 1 more with each commit
  std::uint64_t catalog_place = 0;  // of the catalog's last segment; lmdb: of the page with the root of its tables
  std::uint64_t catalog_bytes = 0;  // 0: the state holds nothing
  std::uint64_t end = memory_headers_bytes;  // of all content
};

class MemoryFile {
  friend class MemoryMapping;

 public:
  enum class Mode { read, write };

  // read: keeps the current state from being overwritten as long as this object lives. write: makes the file if there
  // is none, and keeps other writers away. Throws Error for what is no memory, a file cut short, and a second writer.
  MemoryFile(const std::filesystem::path& path, Mode mode);
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  // The state that was current when the file was opened; a writer's: the last that it committed.
  const MemoryState& state() const { return state_; }
  std::uint64_t size() const;

  // Throws Error naming the file when the place does not lie before the state's end.
  std::vector<std::byte> read(std::uint64_t place, std::uint64_t bytes) const;
  void read(std::uint64_t place, std::span<std::byte> to) const;

  // The rest is for the writer.
  void write(std::uint64_t place, std::span<const std::byte> bytes) const;
  // The number of the oldest state that is still being read; state().number when none older is.
  std::uint64_t oldest_read() const;
  // Makes what was written durable, then `state`, whose number is the next, the current one, durably. Throws Error, and
  // then the current state is what it was.
  void commit(const MemoryState& state);

 private:
  void open();
  void choose_state();
  MemoryState read_headers() const;
  std::vector<std::byte> read_header(std::size_t slot) const;
  // Fewer bytes only at the end of the file.
  std::size_t read_up_to(std::uint64_t place, std::span<std::byte> to) const;
  void check_place(std::uint64_t place, std::uint64_t bytes) const;
  bool is_being_made() const;
  bool lock(short type, std::uint64_t byte, std::uint64_t count, bool wait) const;
  void write_header(const MemoryState& state) const;
  void sync() const;

  std::filesystem::path path_;
  Mode mode_;
  int descriptor_ = -1;
  bool is_broken_ = false;  // a header may or may not be on the disk
  MemoryState state_;
};

// The content of the file's state, mapped to be read where it lies. Must not outlive what keeps the state, the file.
class MemoryMapping {
 public:
  explicit MemoryMapping(const MemoryFile& file);
  ~MemoryMapping();
  MemoryMapping(const MemoryMapping&) = delete;
  MemoryMapping& operator=(const MemoryMapping&) = delete;

  // place + bytes: within the state.
  std::span<const std::byte> at(std::uint64_t place, std::uint64_t bytes) const {
    return {static_cast<const std::byte*>(data_) + place, bytes};
  }

 private:
  void* data_;
  std::size_t bytes_;
};

}  // namespace lookback
