// How likely a model finds given tokens.
#pragma once

#include <ATen/ATen.h>

#include "models/model.h"

namespace lookback {

// Final hidden states [R, d] and, on the host, the tokens that follow them [R] -> the natural logarithms of these
// tokens' probabilities [R], float32 on the CPU. Never holds more than a block of logits. Throws Error for a
// model whose logits are NaN or infinite.
at::Tensor log_likelihood(const Model& model, const at::Tensor& hidden, const at::Tensor& next_ids);

}  // namespace lookback
