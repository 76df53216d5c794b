#include "memory/memory_catalog.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "core/stored_text.h"
#include "memory/checksum.h"
#include "memory/lmdb_catalog.h"

namespace lookback {
namespace {

class SegmentWriter {
 public:
  void number(std::uint64_t value) {
    const std::span<const std::byte> bytes = std::as_bytes(std::span(&value, 1));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  void text(std::string_view value) {
    number(value.size());
    const std::span<const std::byte> bytes = std::as_bytes(std::span(value));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  std::vector<std::byte> take() {
    append_checksum(bytes_);
    return std::move(bytes_);
  }

 private:
  std::vector<std::byte> bytes_;
};

class SegmentReader {
 public:
  SegmentReader(std::span<const std::byte> bytes, const std::string& source) : rest_(bytes), source_(source) {}

  std::uint64_t number() {
    std::uint64_t value = 0;
    std::memcpy(&value, take(sizeof(value)).data(), sizeof(value));
    return value;
  }
  std::int64_t count() {
    const std::uint64_t value = number();
    if (value >= std::uint64_t{1} << 62) damaged();
    return static_cast<std::int64_t>(value);
  }
  std::string text() {
    const std::span<const std::byte> bytes = take(number());
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  bool is_at_end() const { return rest_.empty(); }
  [[noreturn]] void damaged() const { fail("{}: its catalog is damaged; restore a copy or build it again", source_); }

 private:
  std::span<const std::byte> take(std::uint64_t bytes) {
    if (bytes > rest_.size()) damaged();
    const std::span<const std::byte> taken = rest_.first(bytes);
    rest_ = rest_.subspan(bytes);
    return taken;
  }

  std::span<const std::byte> rest_;
  const std::string& source_;
};

void write_document(const MemoryDocument& document, SegmentWriter& to) {
  to.number(document.id);
  to.text(document.name);
  to.text(document.source);
  for (const std::int64_t number : {document.num_chunks, document.num_tokens, document.text_bytes}) {
    to.number(static_cast<std::uint64_t>(number));
  }
  to.number(document.finished ? 1 : 0);
}

MemoryDocument read_document(SegmentReader& from) {
  MemoryDocument document;
  document.id = from.number();
  document.name = from.text();
  document.source = from.text();
  document.num_chunks = from.count();
  document.num_tokens = from.count();
  document.text_bytes = from.count();
  document.finished = from.number() != 0;
  return document;
}

bool lies_before(std::uint64_t place, std::uint64_t bytes, std::uint64_t end) {
  return place >= memory_headers_bytes && place <= end && bytes <= end - place;
}

std::vector<CatalogChange> read_segments(const MemoryFile& file, std::vector<FilePlace>& places) {
  const MemoryState& state = file.state();
  const std::string source = file.path().string();
  std::vector<CatalogChange> changes;
  std::uint64_t number = state.number + 1;
  for (FilePlace place{state.catalog_place, state.catalog_bytes}; place.bytes > 0; place = changes.back().before) {
    require(place.begin >= memory_headers_bytes, "{}: its catalog is damaged", source);
    changes.push_back(parse_catalog_change(file.read(place.begin, place.bytes), source));
    places.push_back(place);
    // Segments become older: so this ends.
    require(changes.back().number < number, "{}: its catalog is out of order: the file is damaged", source);
    number = changes.back().number;
  }
  require(!changes.empty() && changes.front().number == state.number,
          "{}: its catalog is another state's: the file is damaged", source);
  std::ranges::reverse(changes);
  std::ranges::reverse(places);
  return changes;
}

// Changes one after another; documents are put in order once.
MemoryCatalog apply(std::vector<CatalogChange> changes) {
  MemoryCatalog catalog;
  catalog.format = changes.front().format;
  std::map<std::uint64_t, MemoryDocument> documents;
  for (CatalogChange& change : changes) {
    for (const std::uint64_t id : change.removed) {
      documents.erase(id);
      catalog.blocks.erase(id);
    }
    for (MemoryDocument& document : change.documents) documents[document.id] = std::move(document);
    for (const auto& [id, blocks] : change.blocks) {
      std::vector<StoredBlock>& all = catalog.blocks[id];
      all.insert(all.end(), blocks.begin(), blocks.end());
    }
  }
  for (auto& [id, document] : documents) catalog.documents.push_back(std::move(document));
  return catalog;
}

void check_catalog(const MemoryCatalog& catalog, std::uint64_t end, const std::string& source) {
  const MemoryFormat format = parse_memory_format(parse_json(catalog.format, source), source);
  std::size_t num_with_blocks = 0;
  std::uint64_t bytes_left = end;
  for (const MemoryDocument& document : catalog.documents) {
    std::int64_t found = 0;
    const auto blocks = catalog.blocks.find(document.id);
    if (blocks != catalog.blocks.end()) {
      ++num_with_blocks;
      for (const StoredBlock& block : blocks->second) {
        check_block(block, format, end, source);
        found += block.num_chunks;
        const BlockSizes sizes = block_sizes(format, block.num_chunks);
        const std::uint64_t bytes = sizes.chunks + sizes.landmarks + sizes.text;
        require(bytes <= bytes_left, "{}: refers to more than it has: the file is damaged", source);
        bytes_left -= bytes;
      }
    }
    require(found == document.num_chunks, "{}: document {} has {} chunks of {}: the file is damaged", source,
            document.id, found, document.num_chunks);
  }
  require(num_with_blocks == catalog.blocks.size(), "{}: chunks belong to no document: the file is damaged", source);
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
  require(document.num_chunks >= 0 && document.num_tokens >= 0 && document.text_bytes >= 0,
          "{}: document {} has a negative size: the file is damaged", source, id);
  return document;
}

BlockSizes block_sizes(const MemoryFormat& format, std::int64_t num_chunks) {
  const auto chunks = static_cast<std::uint64_t>(num_chunks);
  constexpr std::uint64_t number_bytes = sizeof(std::uint64_t);
  return {
      chunks * (static_cast<std::uint64_t>(format.chunk_bytes()) + number_bytes),
      chunks * static_cast<std::uint64_t>(format.hidden_size) * sizeof(float) + number_bytes,
      chunks * (static_cast<std::uint64_t>(format.chunk_size) * sizeof(std::int32_t) + number_bytes) + number_bytes};
}

void check_block(const StoredBlock& block, const MemoryFormat& format, std::uint64_t end, const std::string& source) {
  // A chunk takes at most 2^40 bytes (memory_format.h): so no product overflows.
  constexpr std::int64_t most_chunks = 1 << 20;
  bool is_within = block.num_chunks >= 1 && block.num_chunks <= most_chunks;
  if (is_within) {
    const BlockSizes sizes = block_sizes(format, block.num_chunks);
    is_within = lies_before(block.chunks_place, sizes.chunks, end) &&
                lies_before(block.landmarks_place, sizes.landmarks, end) &&
                lies_before(block.text_place, sizes.text, end);
  }
  require(is_within, "{}: refers to what lies behind its end: the file is damaged; build it again or restore a copy",
          source);
}

MemoryCatalog read_catalog(const MemoryFile& file) {
  const std::string source = file.path().string();
  const MemoryState& state = file.state();
  MemoryCatalog catalog;
  if (state.layout == MemoryState::Layout::none) return catalog;
  if (state.layout == MemoryState::Layout::lmdb) {
    catalog = read_lmdb_catalog(file);
    if (catalog.format.empty()) return catalog;
  } else {
    std::vector<FilePlace> places;
    catalog = apply(read_segments(file, places));
    catalog.segments = std::move(places);
  }
  check_catalog(catalog, state.end, source);
  return catalog;
}

std::vector<std::byte> serialize(const CatalogChange& change) {
  SegmentWriter to;
  to.number(change.number);
  to.number(change.before.begin);
  to.number(change.before.bytes);
  to.text(change.format);
  to.number(change.removed.size());
  for (const std::uint64_t id : change.removed) to.number(id);
  to.number(change.documents.size());
  for (const MemoryDocument& document : change.documents) write_document(document, to);
  to.number(change.blocks.size());
  for (const auto& [id, blocks] : change.blocks) {
    to.number(id);
    to.number(blocks.size());
    for (const StoredBlock& block : blocks) {
      to.number(static_cast<std::uint64_t>(block.num_chunks));
      to.number(block.chunks_place);
      to.number(block.landmarks_place);
      to.number(block.text_place);
    }
  }
  return to.take();
}

CatalogChange parse_catalog_change(std::span<const std::byte> bytes, const std::string& source) {
  SegmentReader from(checked(bytes, source, "its catalog"), source);
  CatalogChange change;
  change.number = from.number();
  change.before.begin = from.number();
  change.before.bytes = from.number();
  change.format = from.text();
  // Counts are believed one by one: nothing is reserved by them.
  for (std::uint64_t left = from.number(); left > 0; --left) change.removed.push_back(from.number());
  for (std::uint64_t left = from.number(); left > 0; --left) change.documents.push_back(read_document(from));
  for (std::uint64_t left = from.number(); left > 0; --left) {
    std::vector<StoredBlock>& blocks = change.blocks[from.number()];
    for (std::uint64_t blocks_left = from.number(); blocks_left > 0; --blocks_left) {
      StoredBlock block;
      block.num_chunks = from.count();
      block.chunks_place = from.number();
      block.landmarks_place = from.number();
      block.text_place = from.number();
      blocks.push_back(block);
    }
  }
  if (!from.is_at_end()) from.damaged();
  return change;
}

}  // namespace lookback
