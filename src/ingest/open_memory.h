// Opens memories for a model.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "memory/stored_memory.h"
#include "models/model.h"
#include "text/tokenizer.h"

namespace lookback {

// tokenizer: nullptr when the model has none. Throws Error naming what the memory was made with when that is another
// model or tokenizer, and as StoredMemory does.
std::shared_ptr<const StoredMemory> open_memory(const std::filesystem::path& path, const Model& model,
                                                const std::string& fingerprint, const Tokenizer* tokenizer);

}  // namespace lookback
