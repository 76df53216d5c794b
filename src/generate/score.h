// The log-probability that a model gives each token of a text (lookback/score.h), over tensors.
#pragma once

#include <ATen/ATen.h>

#include <memory>

#include "lookback/score.h"
#include "models/model.h"

namespace lookback {

// input_ids [N, L] int64 on any device, L >= 1 -> float32 [N, L] on the CPU: the natural logarithm of the
// probability of each token given all before it; NaN in the first column, before which there is nothing. memories: to
// retrieve from, as if they came before each sequence; nullptr: none. Sequences have the weights' elements.
// Memory beyond the model's own: one block of logits. Throws Error for ids out of range and for a model whose
// logits are NaN or infinite; Interrupted when asked to stop.
at::Tensor score_tokens(const Model& model, const at::Tensor& input_ids, const ScoreConfig& config,
                        const std::shared_ptr<const MemorySet>& memories = nullptr);

}  // namespace lookback
