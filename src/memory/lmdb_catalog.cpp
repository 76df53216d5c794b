#include "memory/lmdb_catalog.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "core/error.h"

namespace lookback {
namespace {

// LMDB 0.9 on a 64-bit little-endian machine. A page: uint64 number, uint16 unused, uint16 flags, uint16 end of the
// offsets, uint16 begin of the nodes, uint16 offsets of nodes. A node: uint32 size, uint16 flags, uint16 size of the
// key, key, value. In a branch the first 48 bits of a node are the child's page. A value too large for its leaf lies in
// pages of its own, behind a header; its node has the number of the first.
constexpr std::size_t page_header_bytes = 16;
constexpr std::size_t node_header_bytes = 8;
constexpr std::uint16_t branch_flag = 1, leaf_flag = 2;
constexpr std::uint16_t in_pages_flag = 1, table_flag = 2;
constexpr std::size_t table_root_bytes = 48;
constexpr std::uint64_t no_page = ~std::uint64_t{0};
constexpr int most_levels = 32;

template <typename T>
T load_number_as(std::span<const std::byte> bytes, std::size_t place) {
  T number;
  std::memcpy(&number, bytes.data() + place, sizeof(number));
  return number;
}

struct TableRoot {
  std::uint64_t entries = 0, page = no_page;
};

// Where a value lies in the file.
struct Entry {
  std::vector<std::byte> key;
  FilePlace value;
  bool is_table = false;
};

bool key_less(const std::vector<std::byte>& a, const std::vector<std::byte>& b) {
  return std::ranges::lexicographical_compare(a, b);
}

class LmdbReader {
 public:
  explicit LmdbReader(const MemoryFile& file) : file_(file) {}

  // All entries below a page, in the order of their keys.
  std::vector<Entry> entries_below(std::uint64_t page) {
    std::vector<Entry> entries;
    if (page != no_page) walk(page, 0, entries);
    for (std::size_t i = 1; i < entries.size(); ++i) {
      if (!key_less(entries[i - 1].key, entries[i].key)) damaged("its keys are out of order");
    }
    return entries;
  }

  std::vector<Entry> entries_of(const TableRoot& table) {
    std::vector<Entry> entries = entries_below(table.page);
    if (entries.size() != table.entries) damaged("a table has another number of entries than it says");
    return entries;
  }

  std::vector<std::byte> value(const Entry& entry) const { return file_.read(entry.value.begin, entry.value.bytes); }

  TableRoot table_root(const Entry& entry) const {
    if (!entry.is_table || entry.value.bytes != table_root_bytes) damaged("a table has no root");
    const std::vector<std::byte> bytes = value(entry);
    return {load_number_as<std::uint64_t>(bytes, 32), load_number_as<std::uint64_t>(bytes, 40)};
  }

  [[noreturn]] void damaged(const char* what) const {
    fail("{}: {}: the file is damaged; build it again or restore a copy", file_.path().string(), what);
  }

 private:
  void walk(std::uint64_t page, int level, std::vector<Entry>& entries) {
    if (level >= most_levels || page < 2 || page >= file_.state().end / memory_page_bytes ||
        !seen_.insert(page).second) {
      damaged("its pages lead astray");
    }
    const std::uint64_t begin = page * memory_page_bytes;
    const std::vector<std::byte> bytes = file_.read(begin, memory_page_bytes);
    const auto flags = load_number_as<std::uint16_t>(bytes, 10);
    const auto lower = load_number_as<std::uint16_t>(bytes, 12);
    if (load_number_as<std::uint64_t>(bytes, 0) != page || (flags != branch_flag && flags != leaf_flag) ||
        lower < page_header_bytes || lower > memory_page_bytes || lower % 2 != 0) {
      damaged("a page is none");
    }
    for (std::size_t place = page_header_bytes; place < lower; place += 2) {
      const std::size_t node = load_number_as<std::uint16_t>(bytes, place);
      if (node < lower || node + node_header_bytes > memory_page_bytes) damaged("an entry lies outside its page");
      if (flags == branch_flag) {
        walk(load_number_as<std::uint32_t>(bytes, node) | std::uint64_t{load_number_as<std::uint16_t>(bytes, node + 4)}
                                                              << 32,
             level + 1, entries);
      } else {
        entries.push_back(parse_leaf_entry(bytes, node, begin));
      }
    }
  }

  Entry parse_leaf_entry(std::span<const std::byte> page, std::size_t node, std::uint64_t page_begin) const {
    const auto value_bytes = load_number_as<std::uint32_t>(page, node);
    const auto flags = load_number_as<std::uint16_t>(page, node + 4);
    const auto key_bytes = load_number_as<std::uint16_t>(page, node + 6);
    const bool is_in_pages = (flags & in_pages_flag) != 0;
    const std::size_t key_place = node + node_header_bytes;
    const std::uint64_t value_place = key_place + key_bytes;
    const std::uint64_t bytes_here = is_in_pages ? sizeof(std::uint64_t) : value_bytes;
    if ((flags & ~(in_pages_flag | table_flag)) != 0 || value_place + bytes_here > memory_page_bytes) {
      damaged("an entry lies outside its page");
    }
    Entry entry;
    const std::span<const std::byte> key = page.subspan(key_place, key_bytes);
    entry.key.assign(key.begin(), key.end());
    entry.is_table = flags == table_flag;
    entry.value = {page_begin + value_place, value_bytes};
    if (is_in_pages) {
      const auto first = load_number_as<std::uint64_t>(page, value_place);
      if (first < 2 || first >= file_.state().end / memory_page_bytes) damaged("a value lies outside the file");
      entry.value.begin = first * memory_page_bytes + page_header_bytes;
    }
    if (entry.value.bytes > file_.state().end - entry.value.begin) damaged("a value lies outside the file");
    return entry;
  }

  const MemoryFile& file_;
  std::set<std::uint64_t> seen_;
};

std::uint64_t load_big_endian(std::span<const std::byte> bytes, std::size_t place) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < 8; ++i) number = number << 8 | static_cast<std::uint64_t>(bytes[place + i]);
  return number;
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Tables of lookback 0.1: info ("format" -> JSON), documents (id -> JSON), and chunks, landmarks and text by document
// and first chunk; numbers in keys are big-endian.
class CatalogReader {
 public:
  explicit CatalogReader(const MemoryFile& file) : file_(file), source_(file.path().string()), reader_(file) {}

  MemoryCatalog read() {
    if (file_.state().catalog_bytes == 0) return {};
    for (const Entry& entry : reader_.entries_below(file_.state().catalog_place / memory_page_bytes)) {
      tables_.emplace(as_text(entry.key), reader_.table_root(entry));
    }
    read_format();
    if (catalog_.format.empty()) return catalog_;
    read_documents();
    read_blocks();
    return std::move(catalog_);
  }

 private:
  std::vector<Entry> table(const char* name) {
    const auto found = tables_.find(name);
    require(found != tables_.end(), "{}: it is no memory of lookback: the table \"{}\" is missing", source_, name);
    return reader_.entries_of(found->second);
  }

  void read_format() {
    for (const Entry& entry : table("info")) {
      if (as_text(entry.key) == "format") catalog_.format = as_text(reader_.value(entry));
    }
  }

  void read_documents() {
    for (const Entry& entry : table("documents")) {
      if (entry.key.size() != 8) reader_.damaged("a document has no number");
      const std::vector<std::byte> value = reader_.value(entry);
      catalog_.documents.push_back(
          parse_memory_document(parse_json(as_text(value), source_), load_big_endian(entry.key, 0), source_));
    }
  }

  void read_blocks() {
    const MemoryFormat format = parse_memory_format(parse_json(catalog_.format, source_), source_);
    const std::vector<Entry> chunks = table("chunks");
    const std::vector<Entry> landmarks = table("landmarks");
    const std::vector<Entry> texts = table("text");
    if (chunks.size() != landmarks.size() || chunks.size() != texts.size()) reader_.damaged("chunks are missing");
    std::uint64_t document = 0;
    std::int64_t next_chunk = 0;
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      const std::vector<std::byte>& key = chunks[i].key;
      if (key.size() != 16 || key != landmarks[i].key || key != texts[i].key) reader_.damaged("chunks are missing");
      if (load_big_endian(key, 0) != document) next_chunk = 0;
      document = load_big_endian(key, 0);
      const auto landmark_bytes = static_cast<std::uint64_t>(format.hidden_size) * sizeof(float);
      const auto num_chunks = static_cast<std::int64_t>(landmarks[i].value.bytes / landmark_bytes);
      const StoredBlock block{num_chunks, chunks[i].value.begin, landmarks[i].value.begin, texts[i].value.begin};
      check_block(block, format, file_.state().end, source_);
      const BlockSizes sizes = block_sizes(format, num_chunks);
      require(load_big_endian(key, 8) == static_cast<std::uint64_t>(next_chunk) &&
                  chunks[i].value.bytes == sizes.chunks && landmarks[i].value.bytes == sizes.landmarks &&
                  texts[i].value.bytes == sizes.text,
              "{}: chunks of document {} are missing or out of place: the file is damaged", source_, document);
      next_chunk += num_chunks;
      catalog_.blocks[document].push_back(block);
    }
  }

  const MemoryFile& file_;
  std::string source_;
  LmdbReader reader_;
  std::map<std::string, TableRoot, std::less<>> tables_;
  MemoryCatalog catalog_;
};

}  // namespace

MemoryCatalog read_lmdb_catalog(const MemoryFile& file) { return CatalogReader(file).read(); }

}  // namespace lookback
