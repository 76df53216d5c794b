// Reads a memory file: the disk tier of chunk memory. Keys and values stay mapped until they are asked for; landmarks
// are held.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

#include "memory/chunk_archive.h"
#include "memory/memory_catalog.h"
#include "memory/memory_file.h"
#include "memory/memory_format.h"

namespace lookback {

// Where a chunk comes from.
struct ChunkOrigin {
  std::uint64_t document = 0;
  std::int64_t chunk = 0;               // in its document
  std::uint64_t text_begin = 0;         // of its text in that of the document, in bytes
  std::vector<std::int64_t> token_ids;  // S
};

// The memory as it was when it was opened: what writers add or remove meanwhile is not seen, under whatever name they
// or this reader know the file, and when another file takes its place. May be read from several threads at once.
class StoredMemory : public ChunkArchive {
 public:
  // Sees landmarks [E, d] of a memory that is being opened: chunks [first, first + count) have just been read and
  // checked, so that what is made of them need not fetch them from main memory again.
  using LandmarkVisitor = std::function<void(const at::Tensor& landmarks, std::int64_t first, std::int64_t count)>;

  // The visitor, if there is one, sees all chunks in their order, some thousands at a time, in at least one call.
  // Throws Error for a file that is missing, no memory, cut short, of another version, or damaged in what is read here
  // (all but keys, values and texts, whose checksums are compared when they are read).
  explicit StoredMemory(const std::filesystem::path& path, const LandmarkVisitor& visit_landmarks = {});

  const std::filesystem::path& path() const { return file_.path(); }
  const MemoryFormat& format() const { return format_; }
  const std::vector<MemoryDocument>& documents() const { return documents_; }

  // Chunks of all documents one after another.
  std::int64_t num_chunks() const override { return num_chunks_; }
  at::Tensor landmarks() const override { return landmarks_; }
  at::ScalarType element_type() const override { return scalar_type(format_.elements); }
  std::shared_ptr<const StoredChunk> chunk(std::int64_t index) const override;
  void prefetch(std::span<const std::int64_t> chunks) const override;

  ChunkOrigin origin(std::int64_t chunk) const;

  // visit(block) for the chunks of a document from its chunk `first_chunk` on, which begins a block, until it returns
  // false. Throws Error when they are damaged.
  void for_each_block(std::uint64_t document, std::int64_t first_chunk,
                      const std::function<bool(const EncodedBlock&)>& visit) const;

  // Reads everything. Throws Error naming the first document and chunk that is damaged.
  void verify() const;

 private:
  // Chunks [first_chunk, first_chunk + num_chunks) of all, where they lie.
  struct Block {
    std::int64_t first_chunk, num_chunks;
    std::uint64_t document;
    std::int64_t first_in_document;
    std::span<const std::byte> chunks, landmarks, text;
  };
  void find_blocks(const MemoryCatalog& catalog);
  void read_landmarks(const MemoryCatalog& catalog, const LandmarkVisitor& visit);
  const Block& block_of(std::int64_t chunk) const;
  void check(const Block& block) const;
  std::span<const std::byte> checked_chunk(const Block& block, std::int64_t index) const;
  std::span<const std::byte> checked_text(const Block& block) const;

  MemoryFile file_;
  MemoryMapping mapping_;
  MemoryFormat format_;
  std::vector<MemoryDocument> documents_;
  std::vector<Block> blocks_;
  at::Tensor landmarks_;
  std::int64_t num_chunks_ = 0;
};

}  // namespace lookback
