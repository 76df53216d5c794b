// Batches of plain arrays through a model: loss and gradients, or loss alone. Nothing here waits for the device.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>

#include "data/token_batch.h"
#include "models/model.h"

namespace lookback {

// Scalars float64 on the model's device.
struct StepLoss {
  at::Tensor loss;         // of all batches together
  at::Tensor exact_match;  // fraction of the answers whose tokens are all the likeliest; NaN without answers
  std::int64_t tokens = 0;
};

// Adds the gradient of the batches' loss to the parameters' gradients. The loss is the mean over all labels of all
// batches, so that n small batches give what one big batch gives; batches with weights of their own count 1 / n each.
// Throws Error when a batch's arrays do not fit each other, or hold what is no id of the model's.
StepLoss accumulate_gradients(Model& model, std::span<const TokenBatch> batches, const ForwardOptions& options);

// Negative log-likelihood (nats) of some labels, and how many they are.
struct LossSum {
  at::Tensor sum;  // scalar float64 on the model's device; undefined: of none
  std::int64_t num_labels = 0;

  LossSum& operator+=(const LossSum& other);
  // A label's; waits for the device. NaN of none.
  double mean() const;
};

// Of one batch, without gradients or noise. Throws Error as accumulate_gradients does.
LossSum evaluate_batch(const Model& model, const TokenBatch& batch, at::ScalarType dtype);

}  // namespace lookback
