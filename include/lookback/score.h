// How probable a model finds each token of a text, given all before it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "lookback/export.h"
#include "lookback/language_model.h"
#include "lookback/memories.h"
#include "lookback/stop.h"
#include "lookback/tensor.h"

namespace lookback {

struct ScoreConfig {
  bool incremental = false;                       // token by token, as generation does: slower, same numbers
  std::int64_t segment_tokens = 4096;             // read in one step when the text is too long for one forward
  std::int64_t whole_tokens = 16384;              // the most tokens (of all sequences) for one whole forward
  std::function<void(std::int64_t)> on_progress;  // told the tokens read so far (of each sequence)
  StopToken stop;                                 // asked after each step
};

// ids [N, L] int64, L >= 1 -> [N, L], row-major: the natural logarithm of the probability of each token given all
// before it, and the memories as if they came before each sequence; NaN in the first column, before which there is
// nothing. Throws Error for ids that are no tokens and for a model whose logits are NaN or infinite, and Interrupted
// when asked to stop.
LOOKBACK_API std::vector<float> score(const LanguageModel& model, const TensorView& ids, const Memories& memories = {},
                                      const ScoreConfig& config = {});

// Of the tokens that have a log-probability; NaN where there are none.
struct ScoreSummary {
  std::int64_t num_scored = 0;
  double total_nll = 0;   // negative log-likelihood in nats, summed
  double mean_nll = 0;    // a token
  double perplexity = 0;  // exp(mean_nll)
};
LOOKBACK_API ScoreSummary summarize_scores(std::span<const float> logprobs);

// Bits that the scored tokens cost for each of the `num_bytes` bytes of text that they stand for; NaN for none.
LOOKBACK_API double bits_per_byte(const ScoreSummary& summary, std::int64_t num_bytes);

}  // namespace lookback
