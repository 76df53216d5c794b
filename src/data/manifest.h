// The manifest of a dataset folder: what its token shards hold and how to tell that they are whole.
//
// A dataset folder:
//   manifest.json      this
//   tokens-00000.bin   token ids, little-endian uint16 (vocabularies up to 65536) or uint32; the shards joined
//                      are one stream: every document's tokens, each followed by one end-of-text token
//   documents.bin      a DocumentRange a document: three little-endian int64 (begin, end, text_bytes)
//   tokenizer/         the tokenizer, as load_tokenizer takes it
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/json.h"
#include "data/mixture.h"

namespace lookback {

// A document's tokens [begin, end) in the whole stream (end excludes its end-of-text token), and the bytes of
// UTF-8 text that they stand for.
struct DocumentRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t text_bytes = 0;
};

// A file of the folder, as it was written.
struct DatasetFile {
  std::string name;
  std::int64_t size_bytes = 0;
  std::string checksum;  // xxhash64 of the content, 16 hex digits
};

// An input that the dataset came from.
struct DatasetSource {
  std::string path;
  std::int64_t size_bytes = 0;  // as it lay on disk, compressed or not
  std::int64_t num_documents = 0;
  std::int64_t num_skipped = 0;  // documents left out because they were broken or empty
};

// What several corpora were mixed to, and by which random orders.
struct DatasetMixture {
  std::uint64_t seed = 0;
  std::vector<MixtureEntry> corpora;  // none: the dataset is no mixture
};

struct DatasetManifest {
  std::string tokenizer_fingerprint;
  std::int64_t vocab_size = 0;
  std::int64_t end_of_text_id = 0;
  std::int64_t element_bytes = 2;  // 2: uint16, 4: uint32
  std::int64_t num_tokens = 0;     // end-of-text tokens included
  std::int64_t num_documents = 0;
  std::int64_t text_bytes = 0;
  std::vector<DatasetFile> shards;
  DatasetFile documents;
  std::vector<DatasetSource> sources;
  DatasetMixture mixture;
};

inline constexpr const char* manifest_name = "manifest.json";
inline constexpr const char* documents_name = "documents.bin";
inline constexpr const char* dataset_tokenizer_name = "tokenizer";

// tokens-00012.bin
std::string shard_name(std::size_t index);

// 2 when every id of the vocabulary fits into uint16, else 4.
std::int64_t element_bytes_for(std::int64_t vocab_size);

// xxhash64 as 16 hex digits.
std::string checksum_of(std::span<const std::byte> bytes);

Json manifest_to_json(const DatasetManifest& manifest);

// Throws Error naming `source`: a newer format version, missing or impossible fields, file names that leave
// the folder, counts that do not add up.
DatasetManifest manifest_from_json(const Json& value, const std::string& source);

// Reads DIR/manifest.json. Throws Error that says what to do when the folder holds none.
DatasetManifest read_manifest(const std::filesystem::path& folder);

}  // namespace lookback
