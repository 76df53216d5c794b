#include "memory/memory_tables.h"

#include <xxhash.h>

#include <cstring>

#include "core/error.h"
#include "core/stored_text.h"

namespace lookback {
namespace {

void store_big_endian(std::uint64_t number, std::byte* to) {
  for (int i = 0; i < 8; ++i) to[i] = static_cast<std::byte>(number >> (56 - 8 * i));
}

std::uint64_t load_big_endian(const std::byte* from) {
  std::uint64_t number = 0;
  for (int i = 0; i < 8; ++i) number = number << 8 | static_cast<std::uint64_t>(from[i]);
  return number;
}

}  // namespace

Json to_json(const MemoryDocument& document) {
  return {{"name", stored_text(document.name)}, {"source", stored_text(document.source)},
          {"num_chunks", document.num_chunks},  {"num_tokens", document.num_tokens},
          {"text_bytes", document.text_bytes},  {"finished", document.finished}};
}

MemoryDocument parse_memory_document(const Json& value, std::uint64_t id, const std::string& source) {
  MemoryDocument document;
  document.id = id;
  document.name = bytes_of_stored_text(json_field<std::string>(value, "name", source));
  document.source = bytes_of_stored_text(json_field<std::string>(value, "source", source));
  document.num_chunks = json_field<std::int64_t>(value, "num_chunks", source);
  document.num_tokens = json_field<std::int64_t>(value, "num_tokens", source);
  document.text_bytes = json_field<std::int64_t>(value, "text_bytes", source);
  document.finished = json_field<bool>(value, "finished", source);
  return document;
}

DocumentKey document_key(std::uint64_t document) {
  DocumentKey key;
  store_big_endian(document, key.data());
  return key;
}

BlockKey block_key(std::uint64_t document, std::int64_t first_chunk) {
  BlockKey key;
  store_big_endian(document, key.data());
  store_big_endian(static_cast<std::uint64_t>(first_chunk), key.data() + 8);
  return key;
}

BlockPlace parse_block_key(std::span<const std::byte> key, const std::string& source) {
  require(key.size() == sizeof(BlockKey), "{}: a key has {} bytes: the file is damaged", source, key.size());
  return {load_big_endian(key.data()), static_cast<std::int64_t>(load_big_endian(key.data() + 8))};
}

std::uint64_t parse_document_key(std::span<const std::byte> key, const std::string& source) {
  require(key.size() == sizeof(DocumentKey), "{}: a key has {} bytes: the file is damaged", source, key.size());
  return load_big_endian(key.data());
}

std::uint64_t checksum(std::span<const std::byte> bytes) { return XXH64(bytes.data(), bytes.size(), 0); }

void append_checksum(std::vector<std::byte>& bytes) {
  const std::uint64_t sum = checksum(bytes);
  bytes.resize(bytes.size() + sizeof(sum));
  std::memcpy(bytes.data() + bytes.size() - sizeof(sum), &sum, sizeof(sum));
}

std::span<const std::byte> checked(std::span<const std::byte> bytes, const std::string& source, const char* what) {
  std::uint64_t sum = 0;
  require(bytes.size() >= sizeof(sum), "{}: {} is cut short: the file is damaged", source, what);
  const std::span<const std::byte> content = bytes.first(bytes.size() - sizeof(sum));
  std::memcpy(&sum, bytes.data() + content.size(), sizeof(sum));
  require(sum == checksum(content), "{}: the checksum of {} does not fit: the file is damaged", source, what);
  return content;
}

std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span<const char>(text.data(), text.size()));
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace lookback
