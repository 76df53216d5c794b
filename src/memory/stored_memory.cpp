#include "memory/stored_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace lookback {
namespace {

MDB_dbi need_table(LmdbTransaction& snapshot, const char* name, const std::string& source) {
  const auto table = snapshot.table(name);
  require(table.has_value(), "{}: it is no memory of lookback: the table \"{}\" is missing", source, name);
  return *table;
}

// Of an unaligned place.
std::uint64_t load_number(std::span<const std::byte> bytes, std::int64_t index) {
  std::uint64_t number = 0;
  std::memcpy(&number, bytes.data() + index * static_cast<std::int64_t>(sizeof(number)), sizeof(number));
  return number;
}

}  // namespace

StoredMemory::StoredMemory(const std::filesystem::path& path)
    : file_(path, LmdbFile::Mode::read), snapshot_(std::make_unique<LmdbTransaction>(file_)) {
  const std::string source = path.string();
  const auto format = snapshot_->get(need_table(*snapshot_, memory_info_table, source), as_bytes(format_key));
  require(format.has_value(), "{}: it is no memory of lookback: it has no format", source);
  format_ = parse_memory_format(parse_json(as_text(*format), source), source);
  landmarks_table_ = need_table(*snapshot_, memory_landmarks_table, source);
  text_table_ = need_table(*snapshot_, memory_text_table, source);
  read_documents();
  read_blocks();
}

void StoredMemory::read_documents() {
  const std::string source = path().string();
  snapshot_->for_each(need_table(*snapshot_, memory_documents_table, source), {}, [&](auto key, auto value) {
    documents_.push_back(
        parse_memory_document(parse_json(as_text(value), source), parse_document_key(key, source), source));
    return true;
  });
}

void StoredMemory::read_blocks() {
  const std::string source = path().string();
  const MDB_dbi chunks = need_table(*snapshot_, memory_chunks_table, source);
  const std::int64_t chunk_bytes = format_.chunk_bytes() + static_cast<std::int64_t>(sizeof(std::uint64_t));
  const std::int64_t landmark_bytes = format_.hidden_size * static_cast<std::int64_t>(sizeof(float));
  std::vector<at::Tensor> landmarks;
  std::vector<std::int64_t> found(documents_.size());
  std::size_t document = 0;
  snapshot_->for_each(landmarks_table_, {}, [&](auto key, auto value) {
    const BlockPlace place = parse_block_key(key, source);
    while (document < documents_.size() && documents_[document].id < place.document) ++document;
    require(document < documents_.size() && documents_[document].id == place.document &&
                place.first_chunk == found[document],
            "{}: chunk {} of document {} is out of place: the file is damaged", source, place.first_chunk,
            place.document);
    const std::span<const std::byte> rows = checked(value, source, "landmarks");
    const std::int64_t count = static_cast<std::int64_t>(rows.size()) / landmark_bytes;
    const auto elements = snapshot_->get(chunks, key);
    require(elements.has_value() && static_cast<std::int64_t>(elements->size()) == count * chunk_bytes &&
                static_cast<std::int64_t>(rows.size()) == count * landmark_bytes,
            "{}: chunks of document {} are missing: the file is damaged", source, place.document);
    at::Tensor tensor = at::empty({count, format_.hidden_size}, at::kFloat);
    std::memcpy(tensor.mutable_data_ptr(), rows.data(), rows.size());
    landmarks.push_back(tensor);
    blocks_.push_back({num_chunks_, count, place, *elements});
    num_chunks_ += count;
    found[document] += count;
    return true;
  });
  for (std::size_t i = 0; i < documents_.size(); ++i) {
    require(found[i] == documents_[i].num_chunks, "{}: document {} has {} chunks of {}: the file is damaged", source,
            documents_[i].id, found[i], documents_[i].num_chunks);
  }
  landmarks_ = landmarks.empty() ? at::empty({0, format_.hidden_size}, at::kFloat) : at::cat(landmarks);
}

const StoredMemory::Block& StoredMemory::block_of(std::int64_t chunk) const {
  require(chunk >= 0 && chunk < num_chunks_, "{}: chunk {} of {}", path().string(), chunk, num_chunks_);
  return *std::prev(std::ranges::upper_bound(blocks_, chunk, {}, &Block::first_chunk));
}

std::span<const std::byte> StoredMemory::checked_chunk(const Block& block, std::int64_t index) const {
  const auto size = static_cast<std::size_t>(format_.chunk_bytes());
  const std::span<const std::byte> bytes = block.chunks.subspan(static_cast<std::size_t>(index) * size, size);
  const std::span<const std::byte> sums = block.chunks.subspan(static_cast<std::size_t>(block.num_chunks) * size);
  require(load_number(sums, index) == checksum(bytes),
          "{}: chunk {} of document {} is damaged; build that document again", path().string(),
          block.place.first_chunk + index, block.place.document);
  return bytes;
}

void StoredMemory::read(std::int64_t chunk, at::Tensor& key, at::Tensor& value) const {
  const Block& block = block_of(chunk);
  const std::span<const std::byte> bytes = checked_chunk(block, chunk - block.first_chunk);
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(float) == 0) {
    decode_chunk(bytes, format_, key, value);
    return;
  }
  // LMDB aligns only what is larger than its pages.
  const at::Tensor aligned = at::empty({static_cast<std::int64_t>(bytes.size())}, at::kByte);
  std::memcpy(aligned.mutable_data_ptr(), bytes.data(), bytes.size());
  decode_chunk({static_cast<const std::byte*>(aligned.const_data_ptr()), bytes.size()}, format_, key, value);
}

void StoredMemory::prefetch(std::span<const std::int64_t> chunks) const {
  static const auto page_bytes = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  for (const std::int64_t chunk : chunks) {
    const Block& block = block_of(chunk);
    const auto size = static_cast<std::size_t>(format_.chunk_bytes());
    const std::byte* const begin = block.chunks.data() + static_cast<std::size_t>(chunk - block.first_chunk) * size;
    const std::size_t before = reinterpret_cast<std::uintptr_t>(begin) % page_bytes;  // in its first page
    // Advice: when it is not taken, reading takes longer.
    ::madvise(const_cast<std::byte*>(begin - before), before + size, MADV_WILLNEED);
  }
}

ChunkOrigin StoredMemory::origin(std::int64_t chunk) const {
  const Block& block = block_of(chunk);
  const std::string source = path().string();
  const std::int64_t index = chunk - block.first_chunk;
  const auto value = snapshot_->get(text_table_, block_key(block.place.document, block.place.first_chunk));
  require(value.has_value(), "{}: the text of document {} is missing: the file is damaged", source,
          block.place.document);
  const std::span<const std::byte> bytes = checked(*value, source, "a text");
  const std::size_t id_bytes = static_cast<std::size_t>(block.num_chunks * format_.chunk_size) * sizeof(std::int32_t);
  require(bytes.size() == id_bytes + static_cast<std::size_t>(block.num_chunks) * sizeof(std::uint64_t),
          "{}: the text of document {} is cut short: the file is damaged", source, block.place.document);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(format_.chunk_size));
  std::memcpy(ids.data(), bytes.data() + static_cast<std::size_t>(index) * ids.size() * sizeof(std::int32_t),
              ids.size() * sizeof(std::int32_t));
  return {block.place.document,
          block.place.first_chunk + index,
          load_number(bytes.subspan(id_bytes), index),
          {ids.begin(), ids.end()}};
}

void StoredMemory::for_each_block(std::uint64_t document, std::int64_t first_chunk,
                                  const std::function<bool(const EncodedBlock&)>& visit) const {
  const auto copy_of = [](std::span<const std::byte> bytes) { return std::vector(bytes.begin(), bytes.end()); };
  auto block = std::ranges::lower_bound(blocks_, std::pair(document, first_chunk), {}, [](const Block& one) {
    return std::pair(one.place.document, one.place.first_chunk);
  });
  for (; block != blocks_.end() && block->place.document == document; ++block) {
    check(*block);
    const BlockKey key = block_key(document, block->place.first_chunk);
    const bool go_on =
        visit({block->num_chunks, copy_of(block->chunks), copy_of(snapshot_->get(landmarks_table_, key).value()),
               copy_of(snapshot_->get(text_table_, key).value())});
    if (!go_on) return;
  }
}

void StoredMemory::check(const Block& block) const {
  for (std::int64_t i = 0; i < block.num_chunks; ++i) checked_chunk(block, i);
  origin(block.first_chunk);
}

void StoredMemory::verify() const {
  for (const Block& block : blocks_) check(block);
}

}  // namespace lookback
