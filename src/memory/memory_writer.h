// Writes memory files: documents grow by blocks of chunks, and every commit is all or nothing, whatever happens to the
// process or the disk (LMDB).
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "memory/lmdb.h"
#include "memory/memory_format.h"
#include "memory/memory_tables.h"

namespace lookback {

// Some chunks of a document, in their order.
struct ChunkBlock {
  at::Tensor key, value;                   // [C, S, H, D] of any floating type
  at::Tensor landmarks;                    // [C, d]
  at::Tensor token_ids;                    // [C, S] int64; a last chunk is filled up with the format's pad_id
  std::vector<std::uint64_t> text_begins;  // of each chunk's text in that of the document, in bytes
};

// As it lies in the file. Throws Error when the sizes are not the format's. May be called from several threads at once.
EncodedBlock encode_block(const ChunkBlock& block, const MemoryFormat& format);

class MemoryWriter {
 public:
  // Opens a memory or begins one. Throws Error when another process writes to it, when it was made for something else
  // than `format` (naming what differs), and for a file that is no memory.
  MemoryWriter(const std::filesystem::path& path, const MemoryFormat& format);

  // All documents, in the order of their ids; changes that are not committed included. Valid until the next change.
  const std::vector<MemoryDocument>& documents() const { return documents_; }

  // Adds an unfinished document without chunks, behind all others; returns its id.
  std::uint64_t begin_document(const std::string& name, const std::string& source);
  // Appends chunks to an unfinished document. num_tokens, text_bytes: what they hold.
  void append(std::uint64_t document, const EncodedBlock& block, std::int64_t num_tokens, std::int64_t text_bytes);
  void finish_document(std::uint64_t document);
  // Throws Error when there is none.
  void remove_document(std::uint64_t document);

  // Makes everything since the last commit durable. When a write fails here or above (disk full: Error), nothing since
  // the last commit has happened, and the writer is as it was then.
  void commit();

 private:
  struct Tables {
    MDB_dbi info, documents, chunks, landmarks, text;
  };
  LmdbTransaction& transaction();
  void put(MDB_dbi Tables::* table, std::span<const std::byte> key, std::span<const std::byte> value);
  void put(const MemoryDocument& document);
  void undo();
  MemoryDocument& find(std::uint64_t document);
  void read_documents();
  void check_format(const MemoryFormat& format);

  LmdbFile file_;
  MemoryFormat format_;
  std::unique_ptr<LmdbTransaction> transaction_;  // of what is not committed
  Tables tables_{};
  std::vector<MemoryDocument> documents_;
};

}  // namespace lookback
