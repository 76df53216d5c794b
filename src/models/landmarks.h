// Texts with a landmark after each chunk of tokens (docs/model.md, 1).
#pragma once

#include <ATen/ATen.h>

#include "models/config.h"

namespace lookback {

// input_ids [N, C * S] -> [N, C * P], P = S + 1.
at::Tensor insert_landmarks(const at::Tensor& input_ids, const ModelConfig& config);

// Positions of a text that has num_tokens tokens: a landmark stands behind each full chunk of it.
std::int64_t count_positions(std::int64_t num_tokens, const ModelConfig& config);

// The ids at the positions [count_positions(first_token), count_positions(first_token + T)) of a text that goes on
// with the tokens ids [T].
at::Tensor continue_with_landmarks(const at::Tensor& ids, std::int64_t first_token, const ModelConfig& config);

}  // namespace lookback
