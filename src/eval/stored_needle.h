// Needles in stored memories: one long text is read into a memory file once, and then asked many questions, as users of
// memories do. So contexts of many millions of tokens are measured in minutes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/stop.h"
#include "eval/needle.h"
#include "generate/inference_model.h"
#include "memory/memory_format.h"

namespace lookback {

struct StoredNeedleConfig {
  std::vector<std::int64_t> lengths;  // tokens
  std::int64_t num_parts = 5;         // of the text, by depth: a cell each
  std::int64_t num_samples = 20;      // a cell, at least
  std::int64_t num_needles = 50;      // in one text; so many texts as the samples take
  std::uint64_t seed = 0;
  std::filesystem::path folder;  // of texts and memories, which stay; those that are there are not read again
  MemoryElements elements = MemoryElements::float32;
  int num_threads = 1;
};

// Of one length.
struct StoredNeedleCost {
  std::int64_t length = 0;
  std::int64_t tokens_read = 0;  // in this call; none when the memories were there already
  double read_seconds = 0;
  std::int64_t file_bytes = 0;            // of all its memories
  std::int64_t tokens_stored = 0;         // in them
  double median_first_token_seconds = 0;  // from a question to the first token of its answer
};

// The middle of each part.
std::vector<double> part_depths(const StoredNeedleConfig& config);

struct StoredNeedleEvaluation {
  NeedleEvaluation needles;  // cells [length][part], each at the depth of its middle
  std::vector<StoredNeedleCost> costs;
};

// Called with what happens, now and then.
using StoredNeedleProgress = std::function<void(const std::string& what)>;

// Of the demo's task. Questions of a text do not depend on other lengths. Bytes of the haystack that are not ASCII
// become blanks, since needles would cut characters in two. Asked to stop, it ends with what it has. Throws Error as
// make_needle_library and build_memory do.
StoredNeedleEvaluation evaluate_stored_needles(const InferenceModel& opened, std::span<const std::int64_t> haystack,
                                               const StoredNeedleConfig& config,
                                               const StoredNeedleProgress& on_progress, const StopToken& stop = {});

Json to_json(const StoredNeedleEvaluation& evaluation, const StoredNeedleConfig& config);

}  // namespace lookback
