// The published checkpoints: a state dict pickled by Python's torch.save (zip format).
#pragma once

#include <filesystem>

#include "nn/safetensors.h"

namespace lookback {

// Reads a `model.bin` whose content is a mapping of names to tensors. Nothing in it is executed. Throws Error naming
// the file when it is no such file.
NamedTensors read_torch_checkpoint(const std::filesystem::path& path);

}  // namespace lookback
