// The log-probability that a model gives each token of a text.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/stop.h"
#include "models/model.h"

namespace lookback {

struct ScoreOptions {
  bool incremental = false;                       // token by token, as generation does
  std::int64_t segment_tokens = 4096;             // read in one step when the text is too long for one forward
  std::int64_t whole_tokens = 16384;              // the most tokens (of all sequences) for one whole forward
  at::ScalarType dtype = at::kFloat;              // of activations and chunk memory
  std::shared_ptr<const MemorySet> memories;      // to retrieve from, as if they came before each sequence
  std::function<void(std::int64_t)> on_progress;  // told the tokens read so far (of each sequence)
  StopToken stop;                                 // asked after each step
};

// input_ids [N, L] int64 on any device, L >= 1 -> float32 [N, L] on the CPU: the natural logarithm of the
// probability of each token given all before it; NaN in the first column, before which there is nothing.
// Memory beyond the model's own: one block of logits. Throws Error for ids out of range and for a model whose
// logits are NaN or infinite; Interrupted when asked to stop.
at::Tensor score_tokens(const Model& model, const at::Tensor& input_ids, const ScoreOptions& options);

// Of the tokens that have a log-probability; NaN where there are none.
struct ScoreSummary {
  std::int64_t num_scored = 0;
  double total_nll = 0;   // negative log-likelihood in nats, summed
  double mean_nll = 0;    // a token
  double perplexity = 0;  // exp(mean_nll)
};
ScoreSummary summarize_scores(const at::Tensor& logprobs);

// Bits that the scored tokens cost for each of the `num_bytes` bytes of text that they stand for; NaN for
// none.
double bits_per_byte(const ScoreSummary& summary, std::int64_t num_bytes);

}  // namespace lookback
