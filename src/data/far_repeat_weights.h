// Batches in whose loss tokens that repeat what stood far back weigh more or less than the others.
#pragma once

#include <cstdint>
#include <memory>

#include "data/repeats.h"
#include "data/token_batch.h"

namespace lookback {

struct FarRepeatWeights {
  double weight = 1;  // of a token whose nearest source (repeats.h) is in its sequence, more than near_tokens back
  std::int64_t near_tokens = 0;
  std::int64_t min_match = usual_min_match;
};

// The batches of `source`, which have no loss weights of their own (Error): the loss is the mean over the labels by
// their weights, 1 for those that are no far repeats. The state is that of `source`. Throws Error for a weight that is
// no number or negative, and for negative numbers of tokens.
std::unique_ptr<BatchSource> weigh_far_repeats(std::unique_ptr<BatchSource> source, const FarRepeatWeights& weights);

}  // namespace lookback
