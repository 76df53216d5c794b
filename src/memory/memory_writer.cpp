#include "memory/memory_writer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "memory/checksum.h"

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

// A block's values side by side, as the writer places them.
constexpr std::uint64_t value_alignment = 64;

std::uint64_t aligned(std::uint64_t place) { return (place + value_alignment - 1) / value_alignment * value_alignment; }

StoredBlock block_at(std::uint64_t place, std::int64_t num_chunks, const BlockSizes& sizes) {
  StoredBlock block{num_chunks, place, 0, 0};
  block.landmarks_place = aligned(place + sizes.chunks);
  block.text_place = aligned(block.landmarks_place + sizes.landmarks);
  return block;
}

PageRun pages_with(std::uint64_t begin, std::uint64_t bytes) {
  const std::uint64_t first = begin / memory_page_bytes;
  return {first, whole_pages(begin + bytes) / memory_page_bytes - first};
}

PageRun pages_of(const StoredBlock& block, const BlockSizes& sizes) {
  return pages_with(block.chunks_place, block.text_place + sizes.text - block.chunks_place);
}

struct UsedPages {
  PageRun run;
  bool may_be_shared = false;  // with other values
};

// Whether a block lies in pages of its own, as this writer places it; lookback 0.1 put small values together.
bool has_own_pages(const StoredBlock& block, const BlockSizes& sizes) {
  const StoredBlock placed = block_at(block.chunks_place, block.num_chunks, sizes);
  return block.chunks_place % memory_page_bytes == 0 && block.landmarks_place == placed.landmarks_place &&
         block.text_place == placed.text_place;
}

std::vector<UsedPages> pages_in_use(const MemoryCatalog& catalog, const MemoryFormat& format) {
  std::vector<UsedPages> used = {{pages_with(0, memory_headers_bytes)}};
  for (const FilePlace& segment : catalog.segments) used.push_back({pages_with(segment.begin, segment.bytes)});
  for (const auto& [document, blocks] : catalog.blocks) {
    for (const StoredBlock& block : blocks) {
      const BlockSizes sizes = block_sizes(format, block.num_chunks);
      if (has_own_pages(block, sizes)) {
        used.push_back({pages_of(block, sizes)});
        continue;
      }
      used.push_back({pages_with(block.chunks_place, sizes.chunks), true});
      used.push_back({pages_with(block.landmarks_place, sizes.landmarks), true});
      used.push_back({pages_with(block.text_place, sizes.text), true});
    }
  }
  std::ranges::sort(used, {}, [](const UsedPages& pages) { return pages.run.first; });
  return used;
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
    : file_(path, MemoryFile::Mode::write), format_(format), catalog_(read_catalog(file_)) {
  check_format();
  find_free_pages();
  if (catalog_.format.empty()) {
    catalog_.format = to_json(format_).dump();
    publish();
  }
}

void MemoryWriter::check_format() const {
  if (catalog_.format.empty()) return;
  const std::string source = file_.path().string();
  const Json found = to_json(parse_memory_format(parse_json(catalog_.format, source), source));
  const Json wanted = to_json(format_);
  for (const auto& [key, value] : wanted.items()) {
    require(found.at(key) == value, "{}: was made with {} {}, not {}; write to another file", source, key,
            found.at(key).dump(), value.dump());
  }
}

// All pages that the state does not use. Which of them an older state uses cannot be told from the file: so they wait
// until no older state is read.
void MemoryWriter::find_free_pages() {
  // LMDB's own pages are needed until a catalog of ours has been committed.
  const bool is_lmdb = file_.state().layout == MemoryState::Layout::lmdb;
  std::vector<PageRun>& unused = used_before_[file_.state().number + (is_lmdb ? 1 : 0)];
  std::uint64_t end = 0;
  bool may_be_shared = false;
  for (const UsedPages& pages : pages_in_use(catalog_, format_)) {
    require(pages.run.first >= end || (may_be_shared && pages.may_be_shared),
            "{}: two of its parts lie in one place: the file is damaged; build it again or restore a copy",
            file_.path().string());
    if (pages.run.first > end) unused.push_back({end, pages.run.first - end});
    may_be_shared = pages.may_be_shared;
    end = std::max(end, pages.run.first + pages.run.count);
  }
  // Behind the end lies what a writer left that did not come to its commit.
  end_page_ = std::max(end, whole_pages(file_.size()) / memory_page_bytes);
  if (end_page_ > end) unused.push_back({end, end_page_ - end});
}

MemoryDocument& MemoryWriter::find(std::uint64_t document) {
  const auto found = std::ranges::lower_bound(catalog_.documents, document, {}, &MemoryDocument::id);
  require(found != catalog_.documents.end() && found->id == document, "{}: holds no document {}", file_.path().string(),
          document);
  return *found;
}

void MemoryWriter::change(std::uint64_t document) {
  const auto blocks = catalog_.blocks.find(document);
  changed_.emplace(document, blocks == catalog_.blocks.end() ? 0 : blocks->second.size());
}

std::uint64_t MemoryWriter::begin_document(const std::string& name, const std::string& source) {
  const std::uint64_t id = catalog_.documents.empty() ? 0 : catalog_.documents.back().id + 1;
  change(id);
  catalog_.documents.push_back({.id = id, .name = name, .source = source, .finished = false});
  return id;
}

void MemoryWriter::append(std::uint64_t document, const EncodedBlock& block, std::int64_t num_tokens,
                          std::int64_t text_bytes) {
  MemoryDocument& record = find(document);
  require(!record.finished, "{}: document {} is finished", file_.path().string(), document);
  const BlockSizes sizes{block.chunks.size(), block.landmarks.size(), block.text.size()};
  const StoredBlock inside = block_at(0, block.num_chunks, sizes);
  std::vector<std::byte> bytes(whole_pages(inside.text_place + sizes.text));
  std::ranges::copy(block.chunks, bytes.begin());
  std::ranges::copy(block.landmarks, bytes.begin() + static_cast<std::ptrdiff_t>(inside.landmarks_place));
  std::ranges::copy(block.text, bytes.begin() + static_cast<std::ptrdiff_t>(inside.text_place));
  std::uint64_t place = 0;
  try {
    place = write_to_free_pages(std::move(bytes));
  } catch (...) {
    undo();
    throw;
  }
  change(document);
  catalog_.blocks[document].push_back(block_at(place, block.num_chunks, sizes));
  record.num_chunks += block.num_chunks;
  record.num_tokens += num_tokens;
  record.text_bytes += text_bytes;
}

void MemoryWriter::finish_document(std::uint64_t document) {
  MemoryDocument& record = find(document);
  change(document);
  record.finished = true;
}

void MemoryWriter::remove_document(std::uint64_t document) {
  find(document);
  for (const StoredBlock& block : catalog_.blocks[document]) release(block);
  catalog_.blocks.erase(document);
  std::erase_if(catalog_.documents, [document](const MemoryDocument& record) { return record.id == document; });
  changed_.erase(document);
  removed_.insert(document);
}

// A block that shares its pages becomes free when the file is opened again.
void MemoryWriter::release(const StoredBlock& block) {
  const BlockSizes sizes = block_sizes(format_, block.num_chunks);
  if (has_own_pages(block, sizes)) released_.push_back(pages_of(block, sizes));
}

std::uint64_t MemoryWriter::write_to_free_pages(std::vector<std::byte> bytes) {
  if (written_.empty()) reuse_what_nobody_reads();
  // To the end of their last page, so that the file has all of it.
  bytes.resize(whole_pages(bytes.size()));
  const std::uint64_t count = bytes.size() / memory_page_bytes;
  const auto free = free_pages_.take(count);
  const std::uint64_t page = free.value_or(end_page_);
  if (!free) end_page_ += count;
  written_.push_back({page, count});
  file_.write(page * memory_page_bytes, bytes);
  return page * memory_page_bytes;
}

void MemoryWriter::reuse_what_nobody_reads() {
  const std::uint64_t oldest = file_.oldest_read();
  while (!used_before_.empty() && used_before_.begin()->first <= oldest) {
    for (const PageRun& run : used_before_.begin()->second) free_pages_.add(run);
    used_before_.erase(used_before_.begin());
  }
}

CatalogChange MemoryWriter::changes(bool all) const {
  CatalogChange change;
  change.number = file_.state().number + 1;
  if (all) {
    change.format = catalog_.format;
    change.documents = catalog_.documents;
    change.blocks = catalog_.blocks;
    return change;
  }
  change.before = catalog_.segments.back();
  change.removed.assign(removed_.begin(), removed_.end());
  for (const MemoryDocument& document : catalog_.documents) {
    const auto changed = changed_.find(document.id);
    if (changed == changed_.end()) continue;
    change.documents.push_back(document);
    const auto blocks = catalog_.blocks.find(document.id);
    if (blocks == catalog_.blocks.end() || blocks->second.size() == changed->second) continue;
    change.blocks[document.id].assign(blocks->second.begin() + static_cast<std::ptrdiff_t>(changed->second),
                                      blocks->second.end());
  }
  return change;
}

// What changed, or everything when the segments behind the first have grown larger than that.
FilePlace MemoryWriter::write_catalog() {
  constexpr std::uint64_t few_bytes = 1 << 18;
  std::uint64_t bytes_behind_first = 0;
  for (std::size_t i = 1; i < catalog_.segments.size(); ++i)
    bytes_behind_first += whole_pages(catalog_.segments[i].bytes);
  const bool all =
      catalog_.segments.empty() || bytes_behind_first > std::max(few_bytes, catalog_.segments.front().bytes);
  std::vector<std::byte> segment = serialize(changes(all));
  FilePlace place{0, segment.size()};
  place.begin = write_to_free_pages(std::move(segment));
  if (all) {
    for (const FilePlace& before : std::exchange(catalog_.segments, {})) {
      released_.push_back(pages_with(before.begin, before.bytes));
    }
  }
  catalog_.segments.push_back(place);
  return place;
}

void MemoryWriter::commit() {
  if (!changed_.empty() || !removed_.empty()) publish();
}

void MemoryWriter::publish() {
  try {
    const FilePlace catalog = write_catalog();
    MemoryState next{MemoryState::Layout::catalog, file_.state().number + 1, catalog.begin, catalog.bytes};
    next.end = file_.state().end;
    for (const PageRun& run : written_) next.end = std::max(next.end, (run.first + run.count) * memory_page_bytes);
    file_.commit(next);
  } catch (...) {
    undo();
    throw;
  }
  std::vector<PageRun>& used = used_before_[file_.state().number];
  used.insert(used.end(), released_.begin(), released_.end());
  changed_.clear();
  removed_.clear();
  written_.clear();
  released_.clear();
}

void MemoryWriter::undo() {
  for (const PageRun& run : std::exchange(written_, {})) free_pages_.add(run);
  released_.clear();
  changed_.clear();
  removed_.clear();
  catalog_ = read_catalog(file_);
}

}  // namespace lookback
