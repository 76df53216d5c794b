// Writes one dataset folder (manifest.h) piece by piece. What it has written counts only up to the numbers that
// the caller keeps (a journal); opened with those again, it cuts off what came after.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "data/growing_file.h"
#include "data/manifest.h"
#include "text/tokenizer.h"

namespace lookback {

// How far a dataset is written.
struct DatasetCounts {
  std::int64_t num_tokens = 0;  // those of a document still open included
  std::int64_t num_documents = 0;
  std::int64_t text_bytes = 0;  // of the finished documents
};

class DatasetWriter {
 public:
  // Makes the folder where it is missing.
  DatasetWriter(const std::filesystem::path& folder, std::int64_t element_bytes, std::int64_t tokens_per_shard,
                const DatasetCounts& counts);

  const DatasetCounts& counts() const { return counts_; }
  const std::filesystem::path& folder() const { return folder_; }

  // Appends tokens as they lie in a shard.
  void append(std::span<const std::byte> tokens);
  // Counts a document whose tokens [begin, end) have been appended, end-of-text token too.
  void add_document(const DocumentRange& range);
  // Cuts back to `counts`. Keep the smaller numbers durably before: a crash after this finds less than before.
  void truncate(const DatasetCounts& counts);
  // Makes all that was appended durable.
  void sync();

  // The last document, which must exist.
  DocumentRange last_document() const;
  // Appends the tokens [begin, end) of `other`, another folder's writer.
  void append_from(const DatasetWriter& other, std::int64_t begin, std::int64_t end);

  // Files and counts of the finished dataset (reads everything once for the checksums).
  void describe(DatasetManifest& manifest) const;

 private:
  void open_shard();
  std::filesystem::path shard_path(std::int64_t index) const;

  std::filesystem::path folder_;
  std::int64_t element_bytes_;
  std::int64_t tokens_per_shard_;
  DatasetCounts counts_;
  std::unique_ptr<GrowingFile> shard_;  // the last, where num_tokens falls
  std::unique_ptr<GrowingFile> documents_;
  bool new_files_ = true;  // since the last sync
};

// Finishes the dataset: its tokenizer and, last and durable, `manifest`, whose files, counts and tokenizer this fills
// in.
void publish_dataset(const DatasetWriter& writer, const Tokenizer& tokenizer, DatasetManifest manifest);

}  // namespace lookback
