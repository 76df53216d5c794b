// The part of Python's pickle that torch.save uses for a state dict. A restricted machine: it knows dictionaries,
// tuples, strings, numbers and tensors, and refuses every other global by name, so that nothing is ever executed.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <string>
#include <string_view>

#include "nn/safetensors.h"

namespace lookback {

// Gives the raw bytes of the storage record `key` ("0", "1", ...).
using StorageReader = std::function<std::string(const std::string& key)>;

// Reads the mapping of names to tensors in `pickle` (a torch.save archive's data.pkl, protocol 2). Throws Error naming
// `source` for anything else: other objects, tensors that leave their storage, truncated or damaged input.
NamedTensors read_state_dict_pickle(std::string_view pickle, const StorageReader& read_storage,
                                    const std::string& source);

}  // namespace lookback
