#include "data/token_dataset.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/error.h"

namespace lookback {
namespace {

static_assert(std::endian::native == std::endian::little, "the dataset's files are little-endian");

MappedFile map_checked(const std::filesystem::path& folder, const DatasetFile& file) {
  const std::filesystem::path path = folder / file.name;
  require(std::filesystem::exists(path), "dataset {}: {} is missing; prepare the text again", folder.string(),
          file.name);
  MappedFile mapped(path);
  require(static_cast<std::int64_t>(mapped.bytes().size()) == file.size_bytes,
          "{}: {} bytes, but the manifest says {}: the file is damaged; prepare the text again", path.string(),
          mapped.bytes().size(), file.size_bytes);
  return mapped;
}

// Copies ids out of a shard; returns the largest.
template <typename Element>
std::int64_t copy_ids(std::span<const std::byte> shard, std::int64_t first, std::span<std::int64_t> out) {
  const std::byte* data = shard.data() + static_cast<std::size_t>(first) * sizeof(Element);
  std::int64_t largest = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    Element id;
    std::memcpy(&id, data + i * sizeof(Element), sizeof(Element));
    out[i] = id;
    largest = std::max(largest, out[i]);
  }
  return largest;
}

}  // namespace

TokenDataset::TokenDataset(const std::filesystem::path& folder)
    : folder_(folder), manifest_(read_manifest(folder)), documents_(map_checked(folder, manifest_.documents)) {
  std::int64_t begin = 0;
  for (const DatasetFile& shard : manifest_.shards) {
    shards_.push_back(map_checked(folder, shard));
    shard_begins_.push_back(begin);
    begin += shard.size_bytes / manifest_.element_bytes;
  }
  shard_begins_.push_back(begin);
}

void TokenDataset::read(std::int64_t begin, std::span<std::int64_t> out) const {
  const auto count = static_cast<std::int64_t>(out.size());
  require(begin >= 0 && count <= num_tokens() && begin <= num_tokens() - count,
          "dataset {}: tokens [{}, {}) of {} were asked for", folder_.string(), begin, begin + count, num_tokens());
  if (out.empty()) return;
  auto index = static_cast<std::size_t>(std::upper_bound(shard_begins_.begin(), shard_begins_.end() - 1, begin) -
                                        shard_begins_.begin() - 1);
  while (!out.empty()) {
    const auto size =
        static_cast<std::size_t>(std::min(static_cast<std::int64_t>(out.size()), shard_begins_[index + 1] - begin));
    const std::int64_t first = begin - shard_begins_[index];
    const auto bytes = shards_[index].bytes();
    const std::int64_t largest = manifest_.element_bytes == 2 ? copy_ids<std::uint16_t>(bytes, first, out.first(size))
                                                              : copy_ids<std::uint32_t>(bytes, first, out.first(size));
    require(largest < manifest_.vocab_size,
            "{}: token {} is not below the vocabulary's {}: the file is damaged; prepare the text again",
            (folder_ / manifest_.shards[index].name).string(), largest, manifest_.vocab_size);
    out = out.subspan(size);
    begin += static_cast<std::int64_t>(size);
    ++index;
  }
}

DocumentRange TokenDataset::document(std::int64_t index) const {
  require(index >= 0 && index < num_documents(), "dataset {}: document {} of {} was asked for", folder_.string(), index,
          num_documents());
  DocumentRange range;
  std::memcpy(&range, documents_.bytes().data() + static_cast<std::size_t>(index) * sizeof range, sizeof range);
  require(range.begin >= 0 && range.begin <= range.end && range.end <= num_tokens() && range.text_bytes >= 0,
          "{}: document {} is [{}, {}) of {} tokens: the file is damaged; prepare the text again",
          (folder_ / manifest_.documents.name).string(), index, range.begin, range.end, num_tokens());
  return range;
}

void TokenDataset::verify() const {
  const auto check = [&](const DatasetFile& file, const MappedFile& mapped) {
    const std::string found = checksum_of(mapped.bytes());
    require(found == file.checksum,
            "{}: checksum {}, but the manifest says {}: the file is damaged; prepare the "
            "text again",
            (folder_ / file.name).string(), found, file.checksum);
  };
  for (std::size_t i = 0; i < shards_.size(); ++i) check(manifest_.shards[i], shards_[i]);
  check(manifest_.documents, documents_);
}

}  // namespace lookback
