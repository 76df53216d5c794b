// How far `prepare` is, on disk: replaced atomically after the data it speaks of is durable, so that a run that
// was killed at any moment goes on from the last journal. It stays, as `finished`, in the finished folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "data/dataset_writer.h"
#include "data/document_reader.h"
#include "data/out_folder.h"

namespace lookback {

// The document of a text file that is longer than a block, while its pieces come.
struct OpenDocument {
  bool open = false;
  bool skipping = false;     // it turned out broken: the rest is passed over
  std::int64_t dataset = 0;  // where it goes
  std::int64_t begin = 0;    // its first token there
  std::int64_t text_bytes = 0;
};

struct SourceCounts {
  std::int64_t num_documents = 0;
  std::int64_t num_skipped = 0;
};

struct PrepareJournal {
  bool finished = false;
  // Everything that decides the result: inputs (path, size, time), tokenizer, options.
  Json identity;
  InputPosition position;
  OpenDocument document;
  std::vector<DatasetCounts> datasets;  // one, or training and validation
  std::vector<SourceCounts> sources;    // one an input
  std::int64_t skipped_log_bytes = 0;
};

inline constexpr const char* journal_name = "prepare.json";

// Nothing when the folder has none. Throws Error naming the file when it is broken or of a newer version.
std::optional<PrepareJournal> read_journal(const std::filesystem::path& folder);
void write_journal(const std::filesystem::path& folder, const PrepareJournal& journal);

// The journal that a run with this identity goes on from: an earlier run's, or a new one, written; what an earlier run
// left that had kept nothing is thrown away. Throws Error when the folder holds other work.
PrepareJournal open_journal(const OutFolder& folder, Json identity, std::size_t num_datasets, std::size_t num_sources);

// Paths, sizes and times, for an identity.
Json inputs_identity(const std::vector<InputFile>& files);

// What differs between two identities, for a person; empty when nothing does.
std::string identity_difference(const Json& before, const Json& now);

}  // namespace lookback
