// What a DRT remembers of a chunk.
#pragma once

#include <ATen/ATen.h>

#include <memory>

#include "models/config.h"
#include "nn/parameters.h"

namespace lookback {

class ChunkForm {
 public:
  virtual ~ChunkForm() = default;

  // The encoder's positions of chunks, without their landmarks [N, C, S, d] -> what keys and values are made of
  // [N, C, M, d], M = config.chunk_vectors().
  virtual at::Tensor vectors(const at::Tensor& text) const = 0;
};

// The one that the configuration asks for: the positions themselves, or memory_vectors means of them, each weighed by a
// softmax with a learned query (model.memory_queries).
std::unique_ptr<const ChunkForm> make_chunk_form(ParameterSet& parameters, const ModelConfig& config);

}  // namespace lookback
