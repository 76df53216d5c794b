#include "memory/memory_writer.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace lookback {
namespace {

std::vector<std::byte> chunks_value(const ChunkBlock& block, MemoryElements elements) {
  std::vector<std::byte> bytes;
  std::vector<std::uint64_t> sums;
  for (std::int64_t i = 0; i < block.key.size(0); ++i) {
    const std::vector<std::byte> chunk = encode_chunk(block.key[i], block.value[i], elements);
    sums.push_back(checksum(chunk));
    bytes.insert(bytes.end(), chunk.begin(), chunk.end());
  }
  const std::span<const std::byte> sum_bytes = std::as_bytes(std::span(sums));
  bytes.insert(bytes.end(), sum_bytes.begin(), sum_bytes.end());
  return bytes;
}

std::vector<std::byte> landmarks_value(const ChunkBlock& block) {
  std::vector<std::byte> bytes;
  append_elements(block.landmarks.to(at::kCPU, at::kFloat), bytes);
  append_checksum(bytes);
  return bytes;
}

std::vector<std::byte> text_value(const ChunkBlock& block) {
  std::vector<std::byte> bytes;
  append_elements(block.token_ids.to(at::kCPU, at::kInt), bytes);
  const std::span<const std::byte> begins = std::as_bytes(std::span(block.text_begins));
  bytes.insert(bytes.end(), begins.begin(), begins.end());
  append_checksum(bytes);
  return bytes;
}

}  // namespace

EncodedBlock encode_block(const ChunkBlock& block, const MemoryFormat& format) {
  const std::int64_t count = block.key.size(0);
  const std::vector<std::int64_t> shape = {count, format.num_vectors, format.num_heads, format.head_dim};
  require(block.key.sizes() == shape && block.value.sizes() == shape &&
              block.landmarks.sizes() == at::IntArrayRef({count, format.hidden_size}) &&
              block.token_ids.sizes() == at::IntArrayRef({count, format.chunk_size}) &&
              block.text_begins.size() == static_cast<std::size_t>(count),
          "chunks of other sizes than the memory's");
  return {count, chunks_value(block, format.elements), landmarks_value(block), text_value(block)};
}

MemoryWriter::MemoryWriter(const std::filesystem::path& path, const MemoryFormat& format)
    : file_(path, LmdbFile::Mode::write), format_(format) {
  check_format(format);
  read_documents();
}

LmdbTransaction& MemoryWriter::transaction() {
  if (transaction_) return *transaction_;
  auto transaction = std::make_unique<LmdbTransaction>(file_);
  tables_ = {transaction->table(memory_info_table).value(), transaction->table(memory_documents_table).value(),
             transaction->table(memory_chunks_table).value(), transaction->table(memory_landmarks_table).value(),
             transaction->table(memory_text_table).value()};
  transaction_ = std::move(transaction);
  return *transaction_;
}

void MemoryWriter::check_format(const MemoryFormat& format) {
  const std::string source = file_.path().string();
  const auto found = transaction().get(tables_.info, as_bytes(format_key));
  if (!found) {
    transaction().put(tables_.info, as_bytes(format_key), as_bytes(to_json(format).dump()));
    commit();
    return;
  }
  const Json before = parse_json(as_text(*found), source);
  parse_memory_format(before, source);
  const Json now = to_json(format);
  for (const auto& [key, value] : now.items()) {
    require(before.at(key) == value, "{}: was made with {} {}, not {}; write to another file", source, key,
            before.at(key).dump(), value.dump());
  }
}

void MemoryWriter::read_documents() {
  documents_.clear();
  const std::string source = file_.path().string();
  transaction().for_each(tables_.documents, {}, [&](auto key, auto value) {
    documents_.push_back(
        parse_memory_document(parse_json(as_text(value), source), parse_document_key(key, source), source));
    return true;
  });
}

void MemoryWriter::put(MDB_dbi MemoryWriter::Tables::* table, std::span<const std::byte> key,
                       std::span<const std::byte> value) {
  LmdbTransaction& writes = transaction();
  try {
    writes.put(tables_.*table, key, value);
  } catch (...) {
    undo();
    throw;
  }
}

void MemoryWriter::put(const MemoryDocument& document) {
  put(&Tables::documents, document_key(document.id), as_bytes(to_json(document).dump()));
}

void MemoryWriter::undo() {
  transaction_.reset();
  read_documents();
}

MemoryDocument& MemoryWriter::find(std::uint64_t document) {
  const auto found = std::ranges::lower_bound(documents_, document, {}, &MemoryDocument::id);
  require(found != documents_.end() && found->id == document, "{}: holds no document {}", file_.path().string(),
          document);
  return *found;
}

std::uint64_t MemoryWriter::begin_document(const std::string& name, const std::string& source) {
  const std::uint64_t id = documents_.empty() ? 0 : documents_.back().id + 1;
  documents_.push_back({.id = id, .name = name, .source = source, .finished = false});
  put(documents_.back());
  return id;
}

void MemoryWriter::append(std::uint64_t document, const EncodedBlock& block, std::int64_t num_tokens,
                          std::int64_t text_bytes) {
  MemoryDocument& record = find(document);
  require(!record.finished, "{}: document {} is finished", file_.path().string(), document);
  const BlockKey key = block_key(document, record.num_chunks);
  put(&Tables::chunks, key, block.chunks);
  put(&Tables::landmarks, key, block.landmarks);
  put(&Tables::text, key, block.text);
  record.num_chunks += block.num_chunks;
  record.num_tokens += num_tokens;
  record.text_bytes += text_bytes;
  put(record);
}

void MemoryWriter::finish_document(std::uint64_t document) {
  MemoryDocument& record = find(document);
  record.finished = true;
  put(record);
}

void MemoryWriter::remove_document(std::uint64_t document) {
  find(document);
  LmdbTransaction& writes = transaction();
  std::vector<BlockKey> keys;
  writes.for_each(tables_.landmarks, block_key(document, 0), [&](auto key, auto) {
    if (parse_block_key(key, file_.path().string()).document != document) return false;
    std::ranges::copy(key, keys.emplace_back().begin());
    return true;
  });
  for (const BlockKey& key : keys) {
    for (const MDB_dbi table : {tables_.chunks, tables_.landmarks, tables_.text}) writes.erase(table, key);
  }
  writes.erase(tables_.documents, document_key(document));
  std::erase_if(documents_, [document](const MemoryDocument& record) { return record.id == document; });
}

void MemoryWriter::commit() {
  if (!transaction_) return;
  try {
    transaction_->commit();
  } catch (...) {
    undo();
    throw;
  }
  transaction_.reset();
}

}  // namespace lookback
