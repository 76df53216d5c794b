// Stored memories, opened: texts that were read once (`lookback memory build`) and are retrieved from ever after.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "lookback/export.h"
#include "lookback/language_model.h"

namespace lookback {

struct OpenedMemories;  // the library's own view of them

// How opened memories are kept and searched.
struct MemoryOptions {
  // Of the chunks of all memories, as they are stored, that are kept in RAM and, for a model on a GPU, there, the least
  // recently used making way; 0: none.
  std::int64_t ram_budget_bytes = std::int64_t{256} << 20U;
  std::int64_t gpu_budget_bytes = std::int64_t{1} << 30U;
  bool search_approximately = false;  // by the lists that `lookback memory index` made beside each file
  std::int64_t num_probes = 0;        // lists that an approximate search looks into; 0: what the index says
};

// How good an approximate search was measured to be when its index was made, over all queries.
struct SearchQuality {
  std::int64_t num_probes = 0;
  double recall = 0;   // part of the exact search's K best that it finds
  double weight = 0;   // part of their softmax weight that these have
  double seconds = 0;  // a query, one at a time
};

// A handle: copies are the same memories. Immutable: what writers add to a file meanwhile is not seen. Any number of
// threads and sessions may use it at once.
class Memories {
 public:
  // None.
  LOOKBACK_API Memories();
  // Throws Error naming the file that is missing, damaged, or made with another model or tokenizer, and the index that
  // an approximate search lacks.
  LOOKBACK_API Memories(const LanguageModel& model, const std::vector<std::filesystem::path>& files,
                        const MemoryOptions& options = {});

  // Absolute.
  LOOKBACK_API const std::vector<std::string>& files() const;
  LOOKBACK_API std::int64_t num_chunks() const;
  // Of each file; empty where the search is exact.
  LOOKBACK_API const std::vector<SearchQuality>& search_qualities() const;

  // For the library's own parts.
  const OpenedMemories& opened() const { return *opened_; }

 private:
  std::shared_ptr<const OpenedMemories> opened_;
};

}  // namespace lookback
