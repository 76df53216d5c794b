// What tells one model, and one memory, from another.
#pragma once

#include <string>

#include "memory/chunk_archive.h"
#include "models/model.h"

namespace lookback {

// Hash of configuration and weights as 16 hex digits. Of a model as it was loaded: weights that were rounded to
// bfloat16 give another.
std::string model_fingerprint(const Model& model);

// Hash of the landmarks of an archive's first num_chunks chunks: the same as long as chunks are only added.
std::string landmarks_fingerprint(const ChunkArchive& archive, std::int64_t num_chunks);

}  // namespace lookback
