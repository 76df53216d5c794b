// Text files to a dataset folder (manifest.h) that training maps: bounded memory, all cores, restartable, and
// the same result whatever the number of threads and however often it was stopped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/json.h"
#include "data/dataset_writer.h"
#include "data/input_files.h"
#include "lookback/stop.h"
#include "text/tokenizer.h"

namespace lookback {

struct PrepareConfig {
  std::vector<std::filesystem::path> inputs;
  std::filesystem::path out;
  InputRules rules = {};        // which files are inputs, and whether folders are documents
  std::string field = "text";   // of JSON lines
  bool strict = false;          // the first broken document is an error
  double valid_fraction = 0.0;  // in [0, 1): of the documents, to out/valid; the others to out/train
  int num_threads = 0;          // 0: all cores
  bool force = false;           // removes what an earlier run left in `out`
  std::int64_t tokens_per_shard = std::int64_t{1} << 27;
  std::int64_t journal_every_bytes = std::int64_t{64} << 20;  // of text
};

struct PrepareProgress {
  std::int64_t disk_bytes_before = 0;  // done when this run began
  std::int64_t disk_bytes = 0;
  std::int64_t disk_bytes_total = 0;
  std::int64_t text_bytes = 0;  // decompressed in this run
  std::int64_t num_tokens = 0;
  std::int64_t num_documents = 0;
  // While several corpora are mixed, which comes last (prepare_corpora.h).
  std::int64_t mixed_documents = 0;
  std::int64_t mixed_documents_total = 0;  // 0: not there yet
};

// What the caller wants to hear, and how he stops it; each may be empty.
struct PrepareListener {
  std::function<void(const PrepareProgress&)> progress;
  std::function<void(const std::string&)> skipped;  // "file:line: reason" of a document left out
  StopToken stop;                                   // asked between blocks
};

struct PreparedDataset {
  std::filesystem::path folder;
  DatasetCounts counts;
};

struct PrepareResult {
  bool interrupted = false;
  bool already_done = false;
  std::vector<PreparedDataset> datasets;
  DatasetMixture mixture;  // of several corpora
  std::int64_t num_inputs = 0;
  std::int64_t num_unknown_files = 0;  // in folders, passed over
  std::int64_t num_not_read = 0;       // files and folders in folders, told to `skipped` (broken links, no permission)
  std::int64_t num_skipped = 0;        // documents left out; out/skipped.log names them
};

// Throws Error for bad inputs or options, a folder `out` that holds something else, broken documents with
// `strict`, and failures to write; what was done until then is kept, except for an `out` that was refused.
PrepareResult prepare(const PrepareConfig& config, const Tokenizer& tokenizer, const PrepareListener& listener);

// The dataset folders that prepare() writes: `out`, or those of its two parts, training first.
std::vector<std::filesystem::path> dataset_folders(const PrepareConfig& config);

// Everything that decides what prepare() writes, for its journal.
Json prepare_identity(const PrepareConfig& config, const InputFiles& inputs, const Tokenizer& tokenizer);

}  // namespace lookback
