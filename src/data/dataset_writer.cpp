#include "data/dataset_writer.h"

#include <fmt/core.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/error.h"
#include "core/files.h"
#include "data/byte_source.h"

namespace lookback {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t document_bytes = sizeof(DocumentRange);

// Read, not mapped: the pages of a mapping would count as this process's memory.
DatasetFile describe_file(const fs::path& path) {
  const auto source = open_byte_source(path);
  std::vector<char> buffer(1 << 20);
  XXH64_state_t state;
  XXH64_reset(&state, 0);
  while (const std::size_t count = source->read(buffer.data(), buffer.size())) {
    XXH64_update(&state, buffer.data(), count);
  }
  return {path.filename().string(), source->disk_position(), fmt::format("{:016x}", XXH64_digest(&state))};
}

}  // namespace

DatasetWriter::DatasetWriter(const fs::path& folder, std::int64_t element_bytes, std::int64_t tokens_per_shard,
                             const DatasetCounts& counts)
    : folder_(folder), element_bytes_(element_bytes), tokens_per_shard_(tokens_per_shard), counts_(counts) {
  std::error_code error;
  fs::create_directories(folder, error);
  require(!error, "cannot make the folder {}: {}", folder.string(), error.message());
  documents_ = std::make_unique<GrowingFile>(folder / documents_name, counts.num_documents * document_bytes);
  open_shard();
}

fs::path DatasetWriter::shard_path(std::int64_t index) const {
  return folder_ / shard_name(static_cast<std::size_t>(index));
}

// The shard where the next token goes; later ones, of work that does not count, are removed.
void DatasetWriter::open_shard() {
  const std::int64_t index = counts_.num_tokens / tokens_per_shard_;
  const std::int64_t size = counts_.num_tokens % tokens_per_shard_ * element_bytes_;
  shard_ = std::make_unique<GrowingFile>(shard_path(index), size);
  for (std::int64_t later = index + 1; fs::remove(shard_path(later)); ++later) {
  }
  new_files_ = true;
}

void DatasetWriter::append(std::span<const std::byte> tokens) {
  while (!tokens.empty()) {
    const std::int64_t room = tokens_per_shard_ - counts_.num_tokens % tokens_per_shard_;
    const auto size = std::min(tokens.size(), static_cast<std::size_t>(room * element_bytes_));
    shard_->append(tokens.first(size));
    tokens = tokens.subspan(size);
    counts_.num_tokens += static_cast<std::int64_t>(size) / element_bytes_;
    if (counts_.num_tokens % tokens_per_shard_ == 0) {
      shard_->sync();
      open_shard();
    }
  }
}

void DatasetWriter::add_document(const DocumentRange& range) {
  documents_->append(std::as_bytes(std::span(&range, 1)));
  ++counts_.num_documents;
  counts_.text_bytes += range.text_bytes;
}

void DatasetWriter::truncate(const DatasetCounts& counts) {
  counts_ = counts;
  documents_->truncate(counts.num_documents * document_bytes);
  open_shard();
}

void DatasetWriter::sync() {
  shard_->sync();
  documents_->sync();
  if (new_files_) sync_path(folder_);
  new_files_ = false;
}

DocumentRange DatasetWriter::last_document() const {
  const MappedFile mapped(folder_ / documents_name);
  DocumentRange range;
  std::memcpy(&range, mapped.bytes().data() + (counts_.num_documents - 1) * document_bytes, sizeof range);
  return range;
}

void DatasetWriter::append_from(const DatasetWriter& other, std::int64_t begin, std::int64_t end) {
  while (begin < end) {
    const std::int64_t first = begin % other.tokens_per_shard_;
    const std::int64_t count = std::min(end - begin, other.tokens_per_shard_ - first);
    const MappedFile shard(other.shard_path(begin / other.tokens_per_shard_));
    append(shard.bytes().subspan(static_cast<std::size_t>(first * element_bytes_),
                                 static_cast<std::size_t>(count * element_bytes_)));
    begin += count;
  }
}

void DatasetWriter::describe(DatasetManifest& manifest) const {
  manifest.element_bytes = element_bytes_;
  manifest.num_tokens = counts_.num_tokens;
  manifest.num_documents = counts_.num_documents;
  manifest.text_bytes = counts_.text_bytes;
  manifest.shards.clear();
  const std::int64_t num_shards = (counts_.num_tokens + tokens_per_shard_ - 1) / tokens_per_shard_;
  for (std::int64_t i = 0; i < num_shards; ++i) manifest.shards.push_back(describe_file(shard_path(i)));
  manifest.documents = describe_file(folder_ / documents_name);
}

void publish_dataset(const DatasetWriter& writer, const Tokenizer& tokenizer, DatasetManifest manifest) {
  const fs::path tokenizer_folder = writer.folder() / dataset_tokenizer_name;
  fs::create_directories(tokenizer_folder);
  tokenizer.save(tokenizer_folder);
  for (const fs::directory_entry& entry : fs::directory_iterator(tokenizer_folder)) sync_path(entry.path());
  sync_path(tokenizer_folder);
  manifest.tokenizer_fingerprint = tokenizer.fingerprint();
  manifest.vocab_size = tokenizer.vocab_size();
  manifest.end_of_text_id = tokenizer.end_of_text_id();
  writer.describe(manifest);
  write_json_file(writer.folder() / manifest_name, manifest_to_json(manifest));
}

}  // namespace lookback
