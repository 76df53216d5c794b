// Perplexity and bits per byte on documents, by length of the context and by position in the document.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "eval/repeat_losses.h"
#include "lookback/stop.h"
#include "models/model.h"

namespace lookback {

struct EvaluationDocument {
  std::vector<std::int64_t> ids;
};

// Every token of a document but its first is scored exactly once, whatever context and stride: predicted from the
// window before it, which holds at most `context` tokens. Window w reads the tokens [w stride, w stride + context)
// and predicts the token after each; only the last `stride` predictions are scored, all of the first window.
struct PerplexityConfig {
  std::int64_t context = 4096;  // 0: everything before the token in its document, read once, piece after piece
  std::int64_t stride = 2048;   // 1 to context; without meaning when context is 0
  at::ScalarType dtype = at::kFloat;
  std::int64_t most_tokens_at_once = 16384;  // windows share a batch up to this; longer ones are read in segments
  std::int64_t segment_tokens = 4096;
  // Bytes of text that each id stands for; empty: unknown, then bits per byte is NaN.
  std::vector<std::int32_t> token_bytes;
  std::optional<RepeatConfig> repeats;  // also split the loss by what repeats
};

// Scored tokens at positions [begin, end) of their documents.
struct PositionBucket {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t num_tokens = 0;
  double nll_sum = 0;  // nats

  double mean_nll() const { return nll_sum / static_cast<double>(num_tokens); }
};

struct PerplexityResult {
  std::int64_t context = 0;
  std::int64_t stride = 0;
  std::int64_t num_documents = 0;         // with at least one scored token
  std::int64_t num_tokens = 0;            // scored
  std::int64_t num_bytes = 0;             // of text of the scored tokens; 0: unknown
  double nll_sum = 0;                     // nats
  double standard_error = 0;              // of mean_nll(), over documents; NaN with fewer than two
  std::vector<PositionBucket> positions;  // [0, 1K), [1K, 2K), [2K, 4K), ...
  std::optional<RepeatLosses> repeats;    // where asked for
  bool complete = true;                   // false: interrupted after num_documents whole documents
  double seconds = 0;

  double mean_nll() const { return nll_sum / static_cast<double>(num_tokens); }
  double perplexity() const;
  double bits_per_byte() const;  // NaN when bytes are unknown
};

// The next document, or none at the end.
using NextDocument = std::function<bool(EvaluationDocument&)>;
// Called with the tokens read so far.
using PerplexityProgress = std::function<void(std::int64_t num_scored_tokens)>;

// Asked to stop, it ends with the documents that are whole. Throws Error for a stride out of range, ids out of range,
// and a model whose logits are NaN or infinite.
PerplexityResult evaluate_perplexity(const Model& model, const NextDocument& next, const PerplexityConfig& config,
                                     const PerplexityProgress& on_progress, const StopToken& stop = {});

// Everything, for machines; what is NaN is null.
Json to_json(const PerplexityResult& result);
// Header line and one line for each bucket of each result.
std::string perplexity_csv(const std::vector<PerplexityResult>& results);

}  // namespace lookback
