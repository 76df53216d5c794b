// What tells one model, and one memory, from another.
#pragma once

#include <xxhash.h>

#include <cstdint>
#include <string>

#include "memory/chunk_archive.h"
#include "models/model.h"

namespace lookback {

// Hash of configuration and weights as 16 hex digits. Of a model as it was loaded: weights that were rounded to
// bfloat16 give another.
std::string model_fingerprint(const Model& model);

// Hash of the landmarks of an archive's first num_chunks chunks: the same as long as chunks are only added.
std::string landmarks_fingerprint(const ChunkArchive& archive, std::int64_t num_chunks);

// That of all landmarks that are given to it one after another, as a file of them is read.
class LandmarksFingerprint {
 public:
  // Takes rows [first, first + count) of landmarks [E, d] float32 on the CPU, of which those before are taken and those
  // behind need not be written yet.
  void take(const at::Tensor& landmarks, std::int64_t first, std::int64_t count);
  std::string value() const;

 private:
  XXH64_state_t state_ = {};
};

}  // namespace lookback
