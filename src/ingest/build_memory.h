// Reads texts into a memory file: lower layers and encoder only, in segments that depend on nothing but the text, each
// by one thread. So the memory is the same bit by bit for any number of threads, and however often it was stopped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/stop.h"
#include "memory/memory_format.h"
#include "models/model.h"
#include "text/tokenizer.h"

namespace lookback {

struct BuildMemoryConfig {
  std::vector<std::filesystem::path> inputs;  // as find_input_files takes them
  std::filesystem::path out;                  // made, or added to
  std::string field = "text";                 // of JSON lines
  bool strict = false;                        // the first broken document is an error
  MemoryElements elements = MemoryElements::float32;
  std::int64_t segment_tokens = 16384;  // read in one step; rounded up to whole chunks
  int num_threads = 1;
  at::ScalarType dtype = at::kFloat;  // of activations
};

struct BuildMemoryProgress {
  std::int64_t disk_bytes = 0;        // of the inputs, read so far
  std::int64_t disk_bytes_known = 0;  // of them, before the first that had to be read in this run
  std::int64_t disk_bytes_total = 0;
  std::int64_t num_tokens = 0;  // read in this run
  std::int64_t num_documents = 0;
};

// What the caller wants to hear, and how he stops it; each may be empty.
struct BuildMemoryListener {
  std::function<void(const BuildMemoryProgress&)> progress;
  std::function<void(const std::string&)> skipped;  // "file:line: reason" of a document left out
  StopToken stop;                                   // asked between steps
};

struct BuildMemoryResult {
  bool interrupted = false;        // the same call goes on
  std::int64_t num_documents = 0;  // added
  std::int64_t num_tokens = 0;     // read in this call
  std::int64_t num_known = 0;      // documents that were there already
  std::int64_t num_skipped = 0;    // broken or empty
  double seconds = 0;
};

// model: frozen, elements of config.dtype; fingerprint: its own. Documents are called by the file's path, that of a
// JSON line by "path:number", the number of the line in its file, and known by the hash of their content: a text that
// is there is not read again, whatever its name and time. Everything is committed every few seconds. Throws Error for
// bad inputs, an `out` made with another model, tokenizer or element type, a file that changed since it was read, and
// failures to write; what was committed stays.
BuildMemoryResult build_memory(const BuildMemoryConfig& config, const Model& model, const std::string& fingerprint,
                               const Tokenizer& tokenizer, const BuildMemoryListener& listener);

// The format of a memory that this model makes.
MemoryFormat memory_format(const ModelConfig& config, const std::string& fingerprint, const Tokenizer* tokenizer,
                           MemoryElements elements);

}  // namespace lookback
