// What layers cost that are Llama's with a sliding window, for the kinds made of them (kind.h, KindCost).
#pragma once

#include <cstdint>

#include "models/config.h"

namespace lookback {

// Width of the decoder layers' keys and values.
double key_value_size(const ModelConfig& config);

// Elements of a layer's seven matrices, where its keys and values are key_value_size wide.
double layer_matrix_elements(const ModelConfig& config, double key_value_size);

// Keys that all `positions` of a sequence see together in a window of `window` before them and themselves.
double window_pairs(double positions, double window);

// Matrix products of `num_layers` decoder layers over `positions`, of which each sees `window` before it.
double layer_flops(const ModelConfig& config, double num_layers, double positions, double window);

// Numbers that a layer keeps for backward at one position.
double layer_activations(const ModelConfig& config);

// Numbers in the keys and values of `positions`, in num_layers layers.
std::int64_t key_value_elements(const ModelConfig& config, std::int64_t num_layers, std::int64_t positions);

// Short convolutions before those of num_layers layers that have one: their parameters, additions and products over
// `positions`, and the numbers that a sequence keeps for them.
double convolution_parameters(const ModelConfig& config, std::int64_t num_layers);
double convolution_flops(const ModelConfig& config, std::int64_t num_layers, double positions);
std::int64_t convolution_elements(const ModelConfig& config, std::int64_t num_layers);

// KindCost of num_layers such layers and nothing else.
double stack_parameters(const ModelConfig& config);
double stack_flops(const ModelConfig& config, std::int64_t length);
double stack_activations(const ModelConfig& config, bool gradient_checkpointing);
double no_elements(const ModelConfig& config);
std::int64_t stack_window_elements(const ModelConfig& config);

// What a layer keeps besides whose window's keys are also read by something without positions: rotary positions turn
// them, so that they are kept both ways.
std::int64_t shared_key_elements(const ModelConfig& config);

}  // namespace lookback
