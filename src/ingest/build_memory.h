// Reads texts into a memory file: lower layers and encoder only, in segments that depend on nothing but the text, each
// by one thread. So the memory is the same bit by bit for any number of threads, and however often it was stopped.
#pragma once

#include <ATen/ATen.h>

#include <string>

#include "lookback/build_memory.h"
#include "memory/memory_format.h"
#include "models/model.h"
#include "text/tokenizer.h"

namespace lookback {

// lookback/build_memory.h says what it does. model: frozen, elements of `dtype`; fingerprint: its own.
// config.num_threads: at least 1.
BuildMemoryResult build_memory(const BuildMemoryConfig& config, const Model& model, at::ScalarType dtype,
                               const std::string& fingerprint, const Tokenizer& tokenizer,
                               const BuildMemoryListener& listener);

// The format of a memory that this model makes.
MemoryFormat memory_format(const ModelConfig& config, const std::string& fingerprint, const Tokenizer* tokenizer,
                           MemoryElements elements);

}  // namespace lookback
