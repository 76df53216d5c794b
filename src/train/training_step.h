// Batches of plain arrays through a model: loss and gradients, or loss alone.
#pragma once

#include <ATen/ATen.h>

#include <optional>
#include <span>

#include "data/token_batch.h"
#include "models/model.h"

namespace lookback {

struct StepLoss {
  double loss = 0;         // of all batches together
  double exact_match = 0;  // fraction of the answers whose tokens are all the likeliest; NaN without answers
  std::int64_t tokens = 0;
};

// Adds the gradient of the batches' loss to the parameters' gradients. The loss is the mean over all labels of all
// batches, so that n small batches give what one big batch gives; batches with weights of their own count 1 / n each.
// Throws Error when a batch's arrays do not fit each other.
StepLoss accumulate_gradients(Model& model, std::span<const TokenBatch> batches, const ForwardOptions& options);

// Summed negative log-likelihood (nats) and number of labels of one batch, without gradients or noise.
struct LossSum {
  double sum = 0;
  std::int64_t num_labels = 0;
};
LossSum evaluate_batch(Model& model, const TokenBatch& batch, at::ScalarType dtype);

}  // namespace lookback
