#include "memory/lmdb.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"

namespace lookback {
namespace {

// Of address space, not of disk: the file grows with what is in it.
constexpr std::size_t map_bytes = std::size_t{1} << 42;
constexpr unsigned most_readers = 1024;
constexpr unsigned most_tables = 16;

MDB_val to_lmdb(std::span<const std::byte> bytes) { return {bytes.size(), const_cast<std::byte*>(bytes.data())}; }

std::span<const std::byte> from_lmdb(const MDB_val& value) {
  return {static_cast<const std::byte*>(value.mv_data), value.mv_size};
}

}  // namespace

LmdbFile::LmdbFile(const std::filesystem::path& path, Mode mode) : path_(path), mode_(mode) {
  if (mode == Mode::read) {
    require(std::filesystem::exists(path), "{}: there is no such memory", path.string());
  }
  require(!std::filesystem::is_directory(path), "{}: is a folder; a memory is a file", path.string());
  try {
    if (mode == Mode::write) lock_against_writers();
    check(mdb_env_create(&environment_), "open");
    check(mdb_env_set_maxdbs(environment_, most_tables), "open");
    check(mdb_env_set_maxreaders(environment_, most_readers), "open");
    check(mdb_env_set_mapsize(environment_, mode == Mode::write ? map_bytes : 0), "open");
    // MDB_NORDAHEAD: what is retrieved lies anywhere. MDB_NOTLS: a snapshot belongs to an object, not to a thread.
    const unsigned flags = MDB_NOSUBDIR | MDB_NORDAHEAD | MDB_NOTLS | (mode == Mode::read ? MDB_RDONLY : 0U);
    check(mdb_env_open(environment_, path.c_str(), flags, 0644), "open");
    check_size();
  } catch (...) {
    if (environment_ != nullptr) mdb_env_close(environment_);
    if (lock_ >= 0) ::close(lock_);
    throw;
  }
}

LmdbFile::~LmdbFile() {
  mdb_env_close(environment_);
  if (lock_ >= 0) ::close(lock_);
}

// LMDB would let a second writer wait, however long the first takes.
void LmdbFile::lock_against_writers() {
  lock_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0) fail("cannot write {}: {}", path_.string(), std::strerror(errno));
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    fail("{}: another process is writing to it; wait until that has ended", path_.string());
  }
}

void LmdbFile::check(int code, const char* action) const {
  if (code == 0) return;
  if (code == MDB_INVALID) fail("cannot {} {}: it is no memory of lookback, or damaged", action, path_.string());
  if (code == MDB_VERSION_MISMATCH) fail("cannot {} {}: another version of LMDB wrote it", action, path_.string());
  if (code == MDB_CORRUPTED || code == MDB_PAGE_NOTFOUND || code == MDB_BAD_TXN) {
    fail("cannot {} {}: it is damaged ({}); build it again or restore a copy", action, path_.string(),
         mdb_strerror(code));
  }
  // A write that ended early is an "Input/output error" to LMDB.
  const char* const hint = code == EIO || code == ENOSPC ? " (is the disk full?)" : "";
  fail("cannot {} {}: {}{}", action, path_.string(), mdb_strerror(code), hint);
}

// Pages behind the end of a file cut short would end the process when they are read.
void LmdbFile::check_size() const {
  MDB_envinfo info;
  MDB_stat stat;
  check(mdb_env_info(environment_, &info), "open");
  check(mdb_env_stat(environment_, &stat), "open");
  const auto needed = (static_cast<std::uintmax_t>(info.me_last_pgno) + 1) * stat.ms_psize;
  const std::uintmax_t found = std::filesystem::file_size(path_);
  require(found >= needed, "{}: is cut short: {} bytes of {}; build it again or restore a copy", path_.string(), found,
          needed);
}

LmdbTransaction::LmdbTransaction(const LmdbFile& file) : file_(file) {
  file.check(
      mdb_txn_begin(file.environment_, nullptr, file.mode_ == LmdbFile::Mode::read ? MDB_RDONLY : 0U, &transaction_),
      "read");
}

LmdbTransaction::~LmdbTransaction() {
  if (transaction_ != nullptr) mdb_txn_abort(transaction_);
}

std::optional<MDB_dbi> LmdbTransaction::table(const char* name) {
  MDB_dbi table = 0;
  const int code = mdb_dbi_open(transaction_, name, file_.mode_ == LmdbFile::Mode::write ? MDB_CREATE : 0U, &table);
  if (code == MDB_NOTFOUND) return std::nullopt;
  file_.check(code, "read");
  return table;
}

std::optional<std::span<const std::byte>> LmdbTransaction::get(MDB_dbi table, std::span<const std::byte> key) const {
  MDB_val wanted = to_lmdb(key);
  MDB_val value;
  const int code = mdb_get(transaction_, table, &wanted, &value);
  if (code == MDB_NOTFOUND) return std::nullopt;
  file_.check(code, "read");
  return from_lmdb(value);
}

void LmdbTransaction::for_each(
    MDB_dbi table, std::span<const std::byte> first,
    const std::function<bool(std::span<const std::byte>, std::span<const std::byte>)>& visit) const {
  MDB_cursor* cursor = nullptr;
  file_.check(mdb_cursor_open(transaction_, table, &cursor), "read");
  const std::unique_ptr<MDB_cursor, decltype(&mdb_cursor_close)> closed(cursor, mdb_cursor_close);
  MDB_val key = to_lmdb(first);
  MDB_val value;
  int code = mdb_cursor_get(cursor, &key, &value, first.empty() ? MDB_FIRST : MDB_SET_RANGE);
  while (code == 0 && visit(from_lmdb(key), from_lmdb(value))) code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
  if (code != MDB_NOTFOUND) file_.check(code, "read");
}

void LmdbTransaction::put(MDB_dbi table, std::span<const std::byte> key, std::span<const std::byte> value) {
  MDB_val lmdb_key = to_lmdb(key);
  MDB_val lmdb_value = to_lmdb(value);
  file_.check(mdb_put(transaction_, table, &lmdb_key, &lmdb_value, 0), "write to");
}

bool LmdbTransaction::erase(MDB_dbi table, std::span<const std::byte> key) {
  MDB_val lmdb_key = to_lmdb(key);
  const int code = mdb_del(transaction_, table, &lmdb_key, nullptr);
  if (code == MDB_NOTFOUND) return false;
  file_.check(code, "write to");
  return true;
}

void LmdbTransaction::commit() {
  const int code = mdb_txn_commit(transaction_);
  transaction_ = nullptr;  // gone, whatever the code says
  file_.check(code, "write to");
}

}  // namespace lookback
