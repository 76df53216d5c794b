// How long the sequences were that a model was trained on.
#pragma once

#include <cstdint>
#include <filesystem>

#include "models/config.h"

namespace lookback {

// The tokens of a training sequence, by config.toml of the run that `model` is (or is a checkpoint of); 64 chunks of
// the model where there is none.
std::int64_t training_length(const std::filesystem::path& model, const ModelConfig& config);

}  // namespace lookback
