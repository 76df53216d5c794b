#include "memory/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>

#include "core/error.h"
#include "core/files.h"
#include "memory/checksum.h"

namespace lookback {
namespace {

constexpr std::uint64_t lock_place = std::uint64_t{1} << 62;
constexpr std::uint64_t writer_byte = 0;
constexpr std::uint64_t header_byte = 1;
constexpr std::uint64_t reader_byte = 16;
constexpr std::uint64_t largest_number = std::uint64_t{1} << 60;  // so that its lock lies within the system's limits

constexpr std::string_view magic = "lookback memory\n";
constexpr std::uint64_t header_version = 2;  // 1 is LMDB's
constexpr std::size_t header_bytes = 64;

constexpr std::size_t lmdb_header_bytes = 16 + 136;
constexpr std::uint32_t lmdb_magic = 0xBEEFC0DE;
constexpr std::uint64_t lmdb_no_page = ~std::uint64_t{0};

template <typename T>
T load(std::span<const std::byte> bytes, std::size_t place) {
  T number;
  std::memcpy(&number, bytes.data() + place, sizeof(number));
  return number;
}

[[noreturn]] void fail_with_errno(const char* action, const std::filesystem::path& path) {
  const int code = errno;
  const char* const hint = code == ENOSPC || code == EFBIG || code == EDQUOT ? " (is the disk full?)" : "";
  fail("cannot {} {}: {}{}", action, path.string(), std::strerror(code), hint);
}

bool is_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

std::optional<MemoryState> parse_own_header(std::span<const std::byte> bytes, const std::string& source) {
  if (bytes.size() < header_bytes || std::memcmp(bytes.data(), magic.data(), magic.size()) != 0) return std::nullopt;
  const auto version = load<std::uint64_t>(bytes, 16);
  require(load<std::uint64_t>(bytes, 56) == checksum(bytes.first(56)),
          "{}: the checksum of a header does not fit: the file is damaged{}", source,
          version > header_version ? ", or of a newer version: use a newer lookback" : "");
  require(version == header_version, "{}: its format has version {}, this program knows {}: use a newer lookback",
          source, version, header_version);
  return MemoryState{MemoryState::Layout::catalog, load<std::uint64_t>(bytes, 24), load<std::uint64_t>(bytes, 32),
                     load<std::uint64_t>(bytes, 40), load<std::uint64_t>(bytes, 48)};
}

// LMDB's page header, then MDB_meta: magic, version, address, size of the map, two MDB_db (the first one's first
// field is the page size), last page, number of the transaction.
std::optional<MemoryState> parse_lmdb_header(std::span<const std::byte> bytes, const std::string& source) {
  if (bytes.size() < lmdb_header_bytes || load<std::uint32_t>(bytes, 16) != lmdb_magic) return std::nullopt;
  require(load<std::uint32_t>(bytes, 20) == 1, "{}: another version of LMDB wrote it", source);
  require(load<std::uint32_t>(bytes, 40) == memory_page_bytes, "{}: its pages have {} bytes, expected {}", source,
          load<std::uint32_t>(bytes, 40), memory_page_bytes);
  const auto root = load<std::uint64_t>(bytes, 128);
  const auto last_page = load<std::uint64_t>(bytes, 136);
  require(last_page < largest_number / memory_page_bytes && (root == lmdb_no_page || root <= last_page),
          "{}: its header is damaged", source);
  MemoryState state{MemoryState::Layout::lmdb, load<std::uint64_t>(bytes, 144)};
  state.end = (last_page + 1) * memory_page_bytes;
  if (root == lmdb_no_page) return state;
  state.catalog_place = root * memory_page_bytes;
  state.catalog_bytes = memory_page_bytes;
  return state;
}

MemoryState parse_header(std::span<const std::byte> bytes, const std::string& source) {
  if (const auto state = parse_own_header(bytes, source)) return *state;
  if (const auto state = parse_lmdb_header(bytes, source)) return *state;
  require(bytes.size() == lmdb_header_bytes && is_zero(bytes),
          "cannot open {}: it is no memory of lookback, or damaged", source);
  return {};
}

// Headers follow one another; where they do not, one of them was damaged, and which cannot be known.
void check_headers(const std::array<MemoryState, 2>& headers, std::size_t newer, const std::string& source) {
  using Layout = MemoryState::Layout;
  const MemoryState& now = headers[newer];
  const MemoryState& before = headers[1 - newer];
  const bool is_first = now.number <= 1 && before.layout == Layout::none;
  const bool follows =
      now.number == before.number + 1 &&
      (before.layout == now.layout || (before.layout == Layout::lmdb && now.layout == Layout::catalog));
  const bool is_new_lmdb = now.layout == Layout::lmdb && before.layout == Layout::lmdb && now.number == 0;
  require(
      now.layout != Layout::none && (is_first || follows || is_new_lmdb) && (is_new_lmdb || now.number % 2 == newer),
      "{}: its headers do not fit each other: the file is damaged; restore a copy or build it again", source);
}

}  // namespace

MemoryFile::MemoryFile(const std::filesystem::path& path, Mode mode) : path_(path), mode_(mode) {
  try {
    open();
    choose_state();
  } catch (...) {
    if (descriptor_ >= 0) ::close(descriptor_);
    throw;
  }
}

MemoryFile::~MemoryFile() { ::close(descriptor_); }

void MemoryFile::open() {
  const bool writes = mode_ == Mode::write;
  // O_NONBLOCK: a pipe of that name is refused below, not waited for.
  descriptor_ = ::open(path_.c_str(), (writes ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC | O_NONBLOCK, 0644);
  constexpr const char* is_folder = "{}: is a folder; a memory is a file";
  require(descriptor_ >= 0 || errno != ENOENT || writes, "{}: there is no such memory", path_.string());
  require(descriptor_ >= 0 || errno != EISDIR, is_folder, path_.string());
  if (descriptor_ < 0) fail_with_errno(writes ? "write to" : "read", path_);
  struct stat status{};
  if (::fstat(descriptor_, &status) != 0) fail_with_errno("open", path_);
  require(!S_ISDIR(status.st_mode), is_folder, path_.string());
  require(S_ISREG(status.st_mode), "{}: is no plain file; a memory is one", path_.string());
  // What is read lies anywhere. Advice: when it is not taken, more is read than is needed.
  ::posix_fadvise(descriptor_, 0, 0, POSIX_FADV_RANDOM);
  if (!writes) return;
  require(lock(F_WRLCK, writer_byte, 1, false), "{}: another process is writing to it; wait until that has ended",
          path_.string());
}

bool MemoryFile::lock(short type, std::uint64_t byte, std::uint64_t count, bool wait) const {
  struct flock place{};
  place.l_type = type;
  place.l_whence = SEEK_SET;
  place.l_start = static_cast<off_t>(lock_place + byte);
  place.l_len = static_cast<off_t>(count);
  while (::fcntl(descriptor_, wait ? F_OFD_SETLKW : F_OFD_SETLK, &place) != 0) {
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EACCES) return false;
    fail_with_errno("lock", path_);
  }
  return true;
}

std::uint64_t MemoryFile::size() const {
  struct stat status{};
  if (::fstat(descriptor_, &status) != 0) fail_with_errno("read", path_);
  return static_cast<std::uint64_t>(status.st_size);
}

std::vector<std::byte> MemoryFile::read_header(std::size_t slot) const {
  std::vector<std::byte> bytes(lmdb_header_bytes);
  require(read_up_to(slot * memory_page_bytes, bytes) == bytes.size(),
          "{}: is cut short: {} bytes, expected at least {}; build it again or restore a copy", path_.string(), size(),
          memory_headers_bytes);
  return bytes;
}

// A file whose first commit never came: empty, or with a catalog that no header tells of, which has but the format.
bool MemoryFile::is_being_made() const {
  const std::uint64_t bytes = size();
  if (bytes > memory_headers_bytes + memory_page_bytes) return false;
  std::vector<std::byte> headers(std::min(bytes, memory_headers_bytes));
  return read_up_to(0, headers) == headers.size() && is_zero(headers);
}

// While the writer is at one header, the other tells of a state that is whole, and of none older than the one before:
// the writer cannot go on to that header as long as it is locked here.
MemoryState MemoryFile::read_headers() const {
  const bool has_first = lock(F_RDLCK, header_byte, 1, false);
  const bool has_second = lock(F_RDLCK, header_byte + 1, 1, !has_first);
  const std::string source = path_.string();
  std::array<MemoryState, 2> headers;
  if (has_first) headers[0] = parse_header(read_header(0), source);
  if (has_second) headers[1] = parse_header(read_header(1), source);
  lock(F_UNLCK, header_byte, 2, false);
  if (!has_first || !has_second) return headers[has_first ? 0 : 1];
  const std::size_t newer = headers[1].number > headers[0].number ? 1 : 0;
  check_headers(headers, newer, source);
  return headers[newer];
}

void MemoryFile::choose_state() {
  const std::string source = path_.string();
  if (is_being_made()) {
    require(mode_ == Mode::write, "cannot open {}: it is no memory of lookback, or damaged", source);
    return;
  }
  // A writer that has not seen this lock began before the state that is read now was the current one.
  if (mode_ == Mode::read) lock(F_RDLCK, reader_byte, 1, true);
  state_ = read_headers();
  require(state_.layout != MemoryState::Layout::none && state_.number < largest_number &&
              state_.end >= memory_headers_bytes && state_.end < largest_number,
          "{}: its header is damaged; restore a copy or build it again", source);
  require(size() >= state_.end, "{}: is cut short: {} bytes of {}; build it again or restore a copy", source, size(),
          state_.end);
  if (mode_ == Mode::write) return;
  lock(F_RDLCK, reader_byte + state_.number, 1, true);
  if (state_.number > 0) lock(F_UNLCK, reader_byte, 1, true);
}

std::vector<std::byte> MemoryFile::read(std::uint64_t place, std::uint64_t bytes) const {
  check_place(place, bytes);  // before memory is taken for it
  std::vector<std::byte> content(bytes);
  read(place, content);
  return content;
}

void MemoryFile::check_place(std::uint64_t place, std::uint64_t bytes) const {
  require(place <= state_.end && bytes <= state_.end - place,
          "{}: refers to what lies behind its end: the file is damaged; build it again or restore a copy",
          path_.string());
}

void MemoryFile::read(std::uint64_t place, std::span<std::byte> to) const {
  check_place(place, to.size());
  const std::size_t found = read_up_to(place, to);
  require(found == to.size(), "{}: was cut short while it was read", path_.string());
}

std::size_t MemoryFile::read_up_to(std::uint64_t place, std::span<std::byte> to) const {
  std::size_t done = 0;
  while (done < to.size()) {
    const ssize_t count = ::pread(descriptor_, to.data() + done, to.size() - done, static_cast<off_t>(place + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_with_errno("read", path_);
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

void MemoryFile::write(std::uint64_t place, std::span<const std::byte> bytes) const {
  require(!is_broken_, "{}: an earlier write failed, and what it left is unknown; open it again", path_.string());
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(place));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_with_errno("write to", path_);
    place += static_cast<std::uint64_t>(count);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

std::uint64_t MemoryFile::oldest_read() const {
  // The system names one lock of those in the way, not the first: ask again for what is before it.
  std::uint64_t oldest = state_.number;
  while (oldest > 0) {
    struct flock place{};
    place.l_type = F_WRLCK;
    place.l_whence = SEEK_SET;
    place.l_start = static_cast<off_t>(lock_place + reader_byte);
    place.l_len = static_cast<off_t>(oldest);
    if (::fcntl(descriptor_, F_OFD_GETLK, &place) != 0) fail_with_errno("lock", path_);
    if (place.l_type == F_UNLCK) break;
    const auto first = static_cast<std::uint64_t>(place.l_start);
    oldest = first > lock_place + reader_byte ? first - lock_place - reader_byte : 0;
  }
  return oldest;
}

void MemoryFile::sync() const {
  while (::fdatasync(descriptor_) != 0) {
    if (errno != EINTR) fail_with_errno("write to", path_);
  }
}

void MemoryFile::write_header(const MemoryState& state) const {
  std::vector<std::byte> bytes(header_bytes);
  std::memcpy(bytes.data(), magic.data(), magic.size());
  std::size_t place = magic.size();
  for (const std::uint64_t number :
       {header_version, state.number, state.catalog_place, state.catalog_bytes, state.end}) {
    std::memcpy(bytes.data() + place, &number, sizeof(number));
    place += sizeof(number);
  }
  const std::uint64_t sum = checksum(std::span(bytes).first(place));
  std::memcpy(bytes.data() + place, &sum, sizeof(sum));
  write(state.number % 2 * memory_page_bytes, bytes);
}

void MemoryFile::commit(const MemoryState& state) {
  struct stat status{};
  if (::fstat(descriptor_, &status) != 0) fail_with_errno("write to", path_);
  require(status.st_nlink > 0, "{}: was removed or replaced while it was written to; what was added since is lost",
          path_.string());
  sync();
  // What has no name on the disk yet gets it with the first state.
  if (state_.layout == MemoryState::Layout::none) sync_path(path_.has_parent_path() ? path_.parent_path() : ".");
  const std::uint64_t header = header_byte + state.number % 2;
  lock(F_WRLCK, header, 1, true);
  try {
    write_header(state);
    sync();
  } catch (...) {
    is_broken_ = true;
    lock(F_UNLCK, header, 1, false);
    throw;
  }
  lock(F_UNLCK, header, 1, false);
  state_ = state;
}

MemoryMapping::MemoryMapping(const MemoryFile& file) : bytes_(file.state().end) {
  data_ = ::mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, file.descriptor_, 0);
  if (data_ == MAP_FAILED) {
    fail("cannot map {} ({} bytes): {}{}", file.path().string(), bytes_, std::strerror(errno),
         errno == ENOMEM ? "; the process may need more address space (ulimit -v)" : "");
  }
  // The same advice as in open(), which does not hold for mappings.
  ::madvise(data_, bytes_, MADV_RANDOM);
}

MemoryMapping::~MemoryMapping() { ::munmap(data_, bytes_); }

}  // namespace lookback
