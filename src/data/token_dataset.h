// A prepared dataset folder (its layout: manifest.h), mapped: nothing is loaded but what is read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "core/files.h"
#include "data/manifest.h"

namespace lookback {

// Immutable; all members may be called from several threads at once.
class TokenDataset {
 public:
  // Checks the manifest and the sizes of all files. Throws Error naming what is missing, of another size, or
  // of a newer format.
  explicit TokenDataset(const std::filesystem::path& folder);

  std::int64_t num_tokens() const { return manifest_.num_tokens; }
  std::int64_t num_documents() const { return manifest_.num_documents; }
  const DatasetManifest& manifest() const { return manifest_; }
  const std::filesystem::path& folder() const { return folder_; }

  // The tokens [begin, begin + out.size()) of the whole stream. Throws Error when the range leaves the stream
  // or a token is no id of the vocabulary (a damaged shard).
  void read(std::int64_t begin, std::span<std::int64_t> out) const;

  // index in [0, num_documents). Throws Error when it is not, or the index file is damaged there.
  DocumentRange document(std::int64_t index) const;

  // Reads everything and compares the checksums. Throws Error naming the first damaged file.
  void verify() const;

 private:
  std::filesystem::path folder_;
  DatasetManifest manifest_;
  std::vector<MappedFile> shards_;
  std::vector<std::int64_t> shard_begins_;  // first token of each shard, then num_tokens
  MappedFile documents_;
};

}  // namespace lookback
