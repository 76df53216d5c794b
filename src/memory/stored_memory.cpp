#include "memory/stored_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "memory/checksum.h"

namespace lookback {
namespace {

// Of an unaligned place.
std::uint64_t load_number(std::span<const std::byte> bytes, std::int64_t index) {
  std::uint64_t number = 0;
  std::memcpy(&number, bytes.data() + index * static_cast<std::int64_t>(sizeof(number)), sizeof(number));
  return number;
}

}  // namespace

StoredMemory::StoredMemory(const std::filesystem::path& path, const LandmarkVisitor& visit_landmarks)
    : file_(path, MemoryFile::Mode::read), mapping_(file_) {
  const std::string source = path.string();
  MemoryCatalog catalog = read_catalog(file_);
  require(!catalog.format.empty(), "{}: it is no memory of lookback: it has no format", source);
  format_ = parse_memory_format(parse_json(catalog.format, source), source);
  find_blocks(catalog);
  read_landmarks(catalog, visit_landmarks);
  documents_ = std::move(catalog.documents);
}

void StoredMemory::find_blocks(const MemoryCatalog& catalog) {
  for (const auto& [document, blocks] : catalog.blocks) {
    std::int64_t first_in_document = 0;
    for (const StoredBlock& block : blocks) {
      const BlockSizes sizes = block_sizes(format_, block.num_chunks);
      blocks_.push_back(
          {num_chunks_, block.num_chunks, document, first_in_document, mapping_.at(block.chunks_place, sizes.chunks),
           mapping_.at(block.landmarks_place, sizes.landmarks), mapping_.at(block.text_place, sizes.text)});
      first_in_document += block.num_chunks;
      num_chunks_ += block.num_chunks;
    }
  }
}

// Read, not mapped: they are copied anyway, and the pages need not be in both. They are not more than the file has
// (read_catalog).
void StoredMemory::read_landmarks(const MemoryCatalog& catalog, const LandmarkVisitor& visit) {
  constexpr std::int64_t chunks_at_a_time = 4096;  // work for some threads, and still in the cache
  landmarks_ = at::empty({num_chunks_, format_.hidden_size}, at::kFloat);
  auto* to = static_cast<std::byte*>(landmarks_.mutable_data_ptr());
  std::vector<std::byte> value;
  std::int64_t num_read = 0;
  std::int64_t num_visited = 0;
  for (const auto& [document, blocks] : catalog.blocks) {
    for (const StoredBlock& block : blocks) {
      value.resize(block_sizes(format_, block.num_chunks).landmarks);
      file_.read(block.landmarks_place, value);
      to = std::ranges::copy(checked(value, path().string(), "landmarks"), to).out;
      num_read += block.num_chunks;
      if (visit && num_read - num_visited >= chunks_at_a_time) {
        visit(landmarks_, num_visited, num_read - num_visited);
        num_visited = num_read;
      }
    }
  }
  if (visit && (num_visited == 0 || num_visited < num_read)) visit(landmarks_, num_visited, num_read - num_visited);
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
          block.first_in_document + index, block.document);
  return bytes;
}

std::shared_ptr<const StoredChunk> StoredMemory::chunk(std::int64_t index) const {
  const Block& block = block_of(index);
  return std::make_shared<const StoredChunk>(parse_chunk(checked_chunk(block, index - block.first_chunk), format_));
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
  const std::int64_t index = chunk - block.first_chunk;
  const std::span<const std::byte> text = checked_text(block);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(format_.chunk_size));
  const std::size_t id_bytes = ids.size() * sizeof(std::int32_t);
  std::memcpy(ids.data(), text.data() + static_cast<std::size_t>(index) * id_bytes, id_bytes);
  return {block.document,
          block.first_in_document + index,
          load_number(text.subspan(static_cast<std::size_t>(block.num_chunks) * id_bytes), index),
          {ids.begin(), ids.end()}};
}

std::span<const std::byte> StoredMemory::checked_text(const Block& block) const {
  return checked(block.text, path().string(), "a text");
}

void StoredMemory::for_each_block(std::uint64_t document, std::int64_t first_chunk,
                                  const std::function<bool(const EncodedBlock&)>& visit) const {
  const auto copy_of = [](std::span<const std::byte> bytes) { return std::vector(bytes.begin(), bytes.end()); };
  auto block = std::ranges::lower_bound(blocks_, std::pair(document, first_chunk), {}, [](const Block& one) {
    return std::pair(one.document, one.first_in_document);
  });
  for (; block != blocks_.end() && block->document == document; ++block) {
    check(*block);
    if (!visit({block->num_chunks, copy_of(block->chunks), copy_of(block->landmarks), copy_of(block->text)})) return;
  }
}

void StoredMemory::check(const Block& block) const {
  for (std::int64_t i = 0; i < block.num_chunks; ++i) checked_chunk(block, i);
  checked(block.landmarks, path().string(), "landmarks");
  checked_text(block);
}

void StoredMemory::verify() const {
  for (const Block& block : blocks_) check(block);
}

}  // namespace lookback
