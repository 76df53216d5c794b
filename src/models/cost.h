// What a model costs, counted from its configuration alone: parameters, arithmetic, bytes of state. Nothing is made for
// it. The embedding, the last norm and the logits are the same for all kinds; a kind's own part is its KindCost.
#pragma once

#include <cstdint>

#include "models/config.h"

namespace lookback {

// Number of parameters, as make_model makes them, but for those that are given, not trained (the table of a fixed
// retriever). Configurations that no machine holds count 2^62.
std::int64_t count_parameters(const ModelConfig& config);

// Number of those that are given.
double count_given_parameters(const ModelConfig& config);

// Floating-point operations of matrix products (a multiply-add counts two) of the forward pass over one sequence of
// `length` text tokens: what the formulas of docs/model.md need, masked scores not counted, recomputation neither.
double forward_flops(const ModelConfig& config, std::int64_t length);

// Forward and backward: the backward pass has two products for each of the forward's.
inline double training_flops(const ModelConfig& config, std::int64_t length) {
  return 3 * forward_flops(config, length);
}

// Numbers that a training step keeps for its backward pass, for each token of the text; with gradient checkpointing,
// the inputs of all layers and one layer's own.
double activation_elements_per_token(const ModelConfig& config, bool gradient_checkpointing);

// Bytes of state a text token of context adds at inference (chunk keys, values and landmarks; 0 for models without
// memory), and bytes that stay the same however long the context is (windows), for one sequence.
double memory_bytes_per_token(const ModelConfig& config, std::int64_t element_bytes);
std::int64_t window_bytes(const ModelConfig& config, std::int64_t element_bytes);

}  // namespace lookback
