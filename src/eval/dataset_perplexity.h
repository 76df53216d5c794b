// Perplexity of a model on the documents of a prepared text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/json.h"
#include "core/progress.h"
#include "data/token_dataset.h"
#include "eval/perplexity.h"
#include "generate/inference_model.h"
#include "lookback/stop.h"

namespace lookback {

inline constexpr std::int64_t no_limit = std::numeric_limits<std::int64_t>::max();

// How much of a prepared text is scored.
struct DocumentLimits {
  std::int64_t max_documents = no_limit;
  std::int64_t max_tokens = no_limit;           // of all documents
  std::int64_t max_document_tokens = no_limit;  // of each one
};

// A prepared text, and of each document that is scored the first tokens that take part.
struct ScoredText {
  std::filesystem::path folder;
  TokenDataset dataset;
  std::vector<std::pair<std::int64_t, std::int64_t>> documents;  // [begin, end) in the stream
  std::int64_t num_scored = 0;                                   // all of their tokens but each one's first
};

// folder: as `lookback prepare` wrote it; where it was split, its part `valid` is scored. Throws Error naming what is
// missing or damaged.
ScoredText open_scored_text(const std::filesystem::path& folder, const DocumentLimits& limits);

// "1K,4K,full": a configuration for each context, with a stride of half of it. `what` names the list in Errors.
std::vector<PerplexityConfig> parse_contexts(const std::string& contexts, const std::string& what);

// One result a configuration, whose dtype and token_bytes become the model's and the text's. Asked to stop, it ends
// with the documents that are whole. Throws Error where the text was prepared with another tokenizer than the model's,
// and as evaluate_perplexity does.
std::vector<PerplexityResult> evaluate_perplexity(const InferenceModel& model, const ScoredText& text,
                                                  std::vector<PerplexityConfig> configs, ProgressLine& progress,
                                                  const StopToken& stop);

// Everything, for machines. model: as it was given.
Json to_json(const std::vector<PerplexityResult>& results, const std::string& model, const ScoredText& text);

}  // namespace lookback
