// Reading texts into a memory file, from which sessions and scores retrieve ever after (lookback/memories.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "lookback/export.h"
#include "lookback/language_model.h"
#include "lookback/stop.h"

namespace lookback {

struct BuildMemoryConfig {
  // Files .txt and .md (a document each) and .jsonl (a document a line), each also .zst or .gz; folders, recursively.
  std::vector<std::filesystem::path> inputs;
  std::filesystem::path out;            // made, or added to
  std::string field = "text";           // of JSON lines: the one that holds the text
  bool strict = false;                  // the first broken document is an error; else it is left out
  std::string elements = "float32";     // or bfloat16 or int8: of stored keys and values
  std::int64_t segment_tokens = 16384;  // read in one step by one thread; rounded up to whole chunks
  int num_threads = 0;                  // 0: one a core. The memory is the same, bit by bit, for any number
};

struct BuildMemoryProgress {
  std::int64_t disk_bytes = 0;        // of the inputs, read so far
  std::int64_t disk_bytes_known = 0;  // of them, before the first that had to be read in this call
  std::int64_t disk_bytes_total = 0;
  std::int64_t num_tokens = 0;  // read in this call
  std::int64_t num_documents = 0;
};

// Whom to tell what, on the thread that made the call; each may be empty.
struct BuildMemoryListener {
  std::function<void(const BuildMemoryProgress&)> on_progress;
  std::function<void(const std::string&)> on_skipped;  // "file:line: reason" of a document left out
  StopToken stop;                                      // asked between steps
};

struct BuildMemoryResult {
  bool interrupted = false;        // the same call goes on where it was
  std::int64_t num_documents = 0;  // added
  std::int64_t num_tokens = 0;     // read in this call
  std::int64_t num_known = 0;      // documents that were there already
  std::int64_t num_skipped = 0;    // broken or empty
  double seconds = 0;
};

// Documents are called by the file's path, that of a JSON line by "path:number", the number of the line in its file,
// and known by the hash of their content: a text that is there is not read again, whatever its name and time. What was
// read is kept every few seconds, so that the same call goes on after a stop or a crash. Throws Error for a model
// without a tokenizer or one that takes no memories, for inputs that are missing, an `out` made with another model,
// tokenizer or element type, a file that changed since it was read, and failures to write.
LOOKBACK_API BuildMemoryResult build_memory(const LanguageModel& model, const BuildMemoryConfig& config,
                                            const BuildMemoryListener& listener = {});

}  // namespace lookback
