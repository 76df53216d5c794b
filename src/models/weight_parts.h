// Weights in several files, as Hugging Face's save_pretrained writes large models: an index,
//   {"metadata": {...}, "weight_map": {"model.norm.weight": "model-00002-of-00002.safetensors", ...}},
// beside the parts that it names.
#pragma once

#include <filesystem>
#include <functional>

#include "nn/safetensors.h"

namespace lookback {

// All tensors of the parts, each read by `read_part`. Throws Error naming the index and what is wrong: no index, a part
// that is missing or would lie in another folder, a tensor that its part does not have or that two parts have.
NamedTensors read_weight_parts(const std::filesystem::path& index,
                               const std::function<NamedTensors(const std::filesystem::path&)>& read_part);

}  // namespace lookback
