// Writes memory files: documents grow by blocks of chunks, and every commit is all or nothing, whatever happens to the
// process or the disk (memory_file.h says how).
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "memory/free_pages.h"
#include "memory/memory_catalog.h"
#include "memory/memory_file.h"
#include "memory/memory_format.h"

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
  // than `format` (naming what differs), for a file that is no memory, and for a damaged one.
  MemoryWriter(const std::filesystem::path& path, const MemoryFormat& format);

  // All documents, in the order of their ids; changes that are not committed included. Valid until the next change.
  const std::vector<MemoryDocument>& documents() const { return catalog_.documents; }

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
  void check_format() const;
  void find_free_pages();
  void publish();
  MemoryDocument& find(std::uint64_t document);
  void change(std::uint64_t document);
  // Writes bytes to pages that no state uses, which belong to the next state from now on; returns where they begin.
  std::uint64_t write_to_free_pages(std::vector<std::byte> bytes);
  void release(const StoredBlock& block);
  void reuse_what_nobody_reads();
  CatalogChange changes(bool all) const;
  FilePlace write_catalog();
  void undo();

  MemoryFile file_;
  MemoryFormat format_;
  MemoryCatalog catalog_;  // with what is not committed

  FreePages free_pages_;
  std::uint64_t end_page_ = 0;  // behind all pages in use and all free ones
  // Pages that a commit took out of use, by its number: states before it use them, and may still be read.
  std::map<std::uint64_t, std::vector<PageRun>> used_before_;

  // Since the last commit.
  std::map<std::uint64_t, std::size_t> changed_;  // document: how many of its blocks the last commit knows
  std::set<std::uint64_t> removed_;
  std::vector<PageRun> written_;   // in use from the next commit on
  std::vector<PageRun> released_;  // out of use from the next commit on
};

}  // namespace lookback
