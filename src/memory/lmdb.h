// LMDB (a single writer, many readers, crash-safe transactions, reads without a copy) with errors that name the file.
#pragma once

#include <lmdb.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>

namespace lookback {

// An open LMDB file; its transactions refer to it.
class LmdbFile {
 public:
  enum class Mode { read, write };

  // write: creates the file if there is none, and holds it against other writers. Throws Error for what is no LMDB
  // file, one that is cut short, and a second writer.
  LmdbFile(const std::filesystem::path& path, Mode mode);
  ~LmdbFile();
  LmdbFile(const LmdbFile&) = delete;
  LmdbFile& operator=(const LmdbFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  // Throws Error naming the file unless code is 0.
  void check(int code, const char* action) const;

 private:
  friend class LmdbTransaction;
  void lock_against_writers();
  void check_size() const;

  std::filesystem::path path_;
  Mode mode_;
  int lock_ = -1;
  MDB_env* environment_ = nullptr;
};

// A transaction: of a read file a snapshot that stays as it is whatever a writer does; of a written one all or
// nothing. Ends, undone unless committed, with the object.
class LmdbTransaction {
 public:
  explicit LmdbTransaction(const LmdbFile& file);
  ~LmdbTransaction();
  LmdbTransaction(const LmdbTransaction&) = delete;
  LmdbTransaction& operator=(const LmdbTransaction&) = delete;

  // A named table; nothing if it is missing (it is made when the file is written).
  std::optional<MDB_dbi> table(const char* name);

  // The value of a key, where it lies: valid until the transaction ends or writes.
  std::optional<std::span<const std::byte>> get(MDB_dbi table, std::span<const std::byte> key) const;
  // visit(key, value) for all keys >= first in their order, until it returns false.
  void for_each(MDB_dbi table, std::span<const std::byte> first,
                const std::function<bool(std::span<const std::byte>, std::span<const std::byte>)>& visit) const;

  void put(MDB_dbi table, std::span<const std::byte> key, std::span<const std::byte> value);
  // Whether there was such a key.
  bool erase(MDB_dbi table, std::span<const std::byte> key);
  // Durable on return. Throws Error (disk full, ...), and then nothing has changed.
  void commit();

 private:
  const LmdbFile& file_;
  MDB_txn* transaction_ = nullptr;
};

}  // namespace lookback
