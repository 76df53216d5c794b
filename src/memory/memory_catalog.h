// What a memory file holds and where it lies: its documents and their blocks of chunks.
//
// A block's values, each with its checksums behind it, may lie anywhere in the file:
//
//   chunks     some chunks one after another, each as encode_chunk says, then a checksum for each
//   landmarks  float32 [chunks, d], then its checksum
//   text       token ids int32 [chunks, S], where each chunk's text begins uint64 [chunks], then their checksum
//
// The catalog is written in segments. The first has all of a memory; each further one has what a commit changed, and
// names the segment before it. When those together are larger than the first, a commit writes everything anew: so a
// commit writes little, and opening reads at most twice what it needs. A segment is a row of uint64 and texts (size,
// then bytes), little-endian: the commit's number, place and bytes of the segment before it, the format as JSON (empty
// in all but the first), ids of removed documents, documents, blocks, and the checksum of all that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/json.h"
#include "memory/memory_file.h"
#include "memory/memory_format.h"

namespace lookback {

// A text in a memory.
struct MemoryDocument {
  std::uint64_t id = 0;  // documents lie in the order of their ids
  std::string name;
  std::string source;  // tells its content from others
  std::int64_t num_chunks = 0;
  std::int64_t num_tokens = 0;  // without those that fill the last chunk
  std::int64_t text_bytes = 0;
  bool finished = true;  // false: its reading was stopped, and goes on behind what is there

  bool operator==(const MemoryDocument&) const = default;
};

// Without the id. For people and programs, and as files of lookback 0.1 have it.
Json to_json(const MemoryDocument& document);
MemoryDocument parse_memory_document(const Json& value, std::uint64_t id, const std::string& source);

// The values of some chunks of a document, in their order, as they lie in the file.
struct EncodedBlock {
  std::int64_t num_chunks = 0;
  std::vector<std::byte> chunks, landmarks, text;
};

// Some chunks of a document, in their order, and where their values begin.
struct StoredBlock {
  std::int64_t num_chunks = 0;
  std::uint64_t chunks_place = 0, landmarks_place = 0, text_place = 0;
};

// In bytes, checksums included.
struct BlockSizes {
  std::uint64_t chunks = 0, landmarks = 0, text = 0;
};
BlockSizes block_sizes(const MemoryFormat& format, std::int64_t num_chunks);
// Throws Error naming `source` unless a block's values lie before `end`.
void check_block(const StoredBlock& block, const MemoryFormat& format, std::uint64_t end, const std::string& source);

struct FilePlace {
  std::uint64_t begin = 0, bytes = 0;
};

struct MemoryCatalog {
  std::string format;  // JSON; empty in a file that is being made
  std::vector<MemoryDocument> documents;
  std::map<std::uint64_t, std::vector<StoredBlock>> blocks;  // of each document; those without chunks may be missing
  std::vector<FilePlace> segments;                           // where it was read, the first segment first
};

// The catalog of the file's state. Throws Error naming the file unless it is whole, and all that it refers to lies
// within the state and is not more than the state has; what is there is checked when it is read.
MemoryCatalog read_catalog(const MemoryFile& file);

// What a segment says.
struct CatalogChange {
  std::uint64_t number = 0;  // of the commit
  FilePlace before;          // the segment before it; 0 bytes: none, this is the first
  std::string format;
  std::vector<std::uint64_t> removed;
  std::vector<MemoryDocument> documents;                     // new and changed ones
  std::map<std::uint64_t, std::vector<StoredBlock>> blocks;  // behind those that their documents have
};
std::vector<std::byte> serialize(const CatalogChange& change);
// Throws Error naming `source`.
CatalogChange parse_catalog_change(std::span<const std::byte> bytes, const std::string& source);

}  // namespace lookback
