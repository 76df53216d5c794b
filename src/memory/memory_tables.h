// The tables of a memory file and their keys: what stored_memory.h reads and memory_writer.h writes.
//
//   info       "format" -> MemoryFormat as JSON
//   documents  document -> MemoryDocument as JSON
//   chunks     document, first chunk -> some chunks one after another, each as encode_chunk says
//   landmarks  the same key -> float32 [chunks, d]
//   text       the same key -> token ids int32 [chunks, S], then where each chunk's text begins uint64 [chunks]
//
// Numbers in keys are big-endian, so that keys lie in the order of documents and chunks. Every value ends with the
// checksum of what is before it (xxhash64), those of chunks with one for each chunk.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "memory/lmdb.h"

namespace lookback {

// A text in a memory.
struct MemoryDocument {
  std::uint64_t id = 0;  // documents lie in the order of their ids
  std::string name;
  std::string source;  // tells whether the text has changed since: its file's size and time
  std::int64_t num_chunks = 0;
  std::int64_t num_tokens = 0;  // without those that fill the last chunk
  std::int64_t text_bytes = 0;
  bool finished = true;  // false: its reading was stopped, and goes on behind what is there

  bool operator==(const MemoryDocument&) const = default;
};

Json to_json(const MemoryDocument& document);
MemoryDocument parse_memory_document(const Json& value, std::uint64_t id, const std::string& source);

inline constexpr const char* memory_info_table = "info";
inline constexpr const char* memory_documents_table = "documents";
inline constexpr const char* memory_chunks_table = "chunks";
inline constexpr const char* memory_landmarks_table = "landmarks";
inline constexpr const char* memory_text_table = "text";
inline constexpr std::string_view format_key = "format";

// The values of some chunks of a document, in their order.
struct EncodedBlock {
  std::int64_t num_chunks = 0;
  std::vector<std::byte> chunks, landmarks, text;
};

using DocumentKey = std::array<std::byte, 8>;
using BlockKey = std::array<std::byte, 16>;
DocumentKey document_key(std::uint64_t document);
BlockKey block_key(std::uint64_t document, std::int64_t first_chunk);

// Document and first chunk of a key. Throws Error naming `source` when it is no such key.
struct BlockPlace {
  std::uint64_t document = 0;
  std::int64_t first_chunk = 0;
};
BlockPlace parse_block_key(std::span<const std::byte> key, const std::string& source);
std::uint64_t parse_document_key(std::span<const std::byte> key, const std::string& source);

std::uint64_t checksum(std::span<const std::byte> bytes);
void append_checksum(std::vector<std::byte>& bytes);
// The bytes before the checksum. Throws Error naming `source` and `what` when it does not fit.
std::span<const std::byte> checked(std::span<const std::byte> bytes, const std::string& source, const char* what);

std::span<const std::byte> as_bytes(std::string_view text);
std::string_view as_text(std::span<const std::byte> bytes);

}  // namespace lookback
