// How the chunks of a DRT find each other. Drt and its steps do the rest: they score all landmarks, and attend to what
// was chosen.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "models/config.h"
#include "nn/parameters.h"
#include "retrieval/causal_top_k.h"

namespace lookback {

// The last chunks of one text, which want to know what to retrieve.
struct AskingChunks {
  at::Tensor hidden;                  // at their landmarks, entering the upper group [N, C, d]
  std::vector<at::Tensor> landmarks;  // of all chunks of the text, theirs included, some [N, E, F] at a time
};

class ChunkRetriever {
 public:
  virtual ~ChunkRetriever() = default;

  // Adds the parameters of the next upper group. By the model's constructor.
  virtual void add_group(ParameterSet& /*parameters*/) {}

  // Whether landmarks() looks at tokens: then sequences keep those of their unfinished chunk.
  virtual bool finds_by_tokens() const { return false; }

  // What chunks are found by [N, C, F], F = landmark_size(config). encoded: the encoder's output at their landmarks
  // [N, C, d], with its element type; ids: their tokens [N, C, S] on the host, undefined unless finds_by_tokens().
  virtual at::Tensor landmarks(const at::Tensor& encoded, const at::Tensor& ids) const = 0;

  // [N, C, F]: the inner product with a chunk's landmark, by the root of F, is its score.
  virtual at::Tensor queries(std::size_t group_index, const AskingChunks& asking) const = 0;

  // The scores [N, C, E] (-inf: not to be had) with what the retriever knows besides the inner product. The first
  // num_stored are of chunks of other texts, the others those of the text up to the last chunk that asks.
  virtual at::Tensor adjusted(const at::Tensor& scores, std::int64_t /*num_stored*/,
                              std::size_t /*group_index*/) const {
    return scores;
  }

  // What those that ask, the chunks from first_chunk on, retrieve by scores [N, C, E] (-inf: not to be had).
  // noise_generator: of the selection's noise, in training where draws_noise().
  virtual TopK choose(const at::Tensor& scores, const AskingChunks& asking, std::int64_t first_chunk,
                      std::size_t group_index, const std::optional<at::Generator>& noise_generator) const = 0;
  virtual bool draws_noise() const { return false; }

  // Whether retrieved chunks are attended to one by one and summed by their weights; else all under one softmax.
  virtual bool weighs_chunks() const { return true; }

  // Throw Error where chunks of other texts cannot be kept, or not be searched.
  virtual void check_stores_memories() const {}
  virtual void check_searches_memories() const {}
};

// The one that the configuration asks for; parameters that are not an upper group's are added here.
std::unique_ptr<ChunkRetriever> make_chunk_retriever(ParameterSet& parameters, const ModelConfig& config);

}  // namespace lookback
