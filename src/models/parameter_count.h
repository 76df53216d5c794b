// A model's parameters, counted from its configuration alone: nothing is made for it.
#pragma once

#include <cstdint>

#include "models/config.h"

namespace lookback {

// Number of parameters, as make_model makes them, but for the table of a fixed retriever: it is given, not trained.
// Configurations that no machine holds count 2^62.
std::int64_t count_parameters(const ModelConfig& config);

// Elements of a Llama layer's seven matrices, in a layer whose keys and values are key_value_size wide.
double layer_matrix_elements(const ModelConfig& config, double key_value_size);

// Of the matrices that the layer that remembers has besides those.
double memory_matrix_elements(const ModelConfig& config);

// Width of the decoder layers' keys and values.
double key_value_size(const ModelConfig& config);

// Decoder layers of all groups but the lowest, of models like DRT; and all of any model's.
std::int64_t num_upper_layers(const ModelConfig& config);
std::int64_t num_decoder_layers(const ModelConfig& config);

}  // namespace lookback
