// Training batches of documents and their summaries.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/summary_pairs.h"
#include "data/token_batch.h"

namespace lookback {

struct SummaryBatchesConfig {
  std::int64_t length = 4032;   // most tokens of a sequence; documents are cut at their ends
  std::int64_t batch_size = 1;  // pairs
  double text_loss_weight = 0;  // of all tokens, beside the summaries' (answer_batch.h)
  std::uint64_t seed = 0;
};

// Endless batches of: document, separator, summary, end-of-text; the last two are the answer. Each epoch has every pair
// once, in another random order; an epoch's end may lie inside a batch. `source` is the pairs' file. Throws Error
// naming file and line of a summary that leaves no room for its document, and for sizes below 1; restore() for
// another run's state.
std::unique_ptr<BatchSource> make_summary_batches(const std::vector<SummaryPair>& pairs, const std::string& source,
                                                  const Tokenizer& tokenizer, const SummaryBatchesConfig& config);

}  // namespace lookback
