// What configurations of DRT, and of the two kinds that differ from it in one part, have besides what all kinds have.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/config.h"

namespace lookback {

// Keys in brackets are those of config.json.
struct DrtConfig {
  std::int64_t num_encoder_layers = 2;                // [encoder_layers]
  std::vector<std::int64_t> decoder_layers = {3, 3};  // lower, then each upper group [decoder_layers]
  // Published configurations that do not name it were trained without.
  bool softmax_plus_one = false;  // [enable_softmax_one]
  bool gumbel_noise = true;       // in training, for the selection [gumbel_noise]
  // What makes a model compressed-memory, and rpt.
  std::int64_t memory_vectors = 0;     // m, of a chunk; 0: one for each of its positions [memory_vectors]
  std::string retriever;               // "bm25", "encoder", "embeddings"; empty: the trained one [retriever]
  std::int64_t retriever_size = 1024;  // numbers that terms are hashed to, or of an embedding [retriever_size]
  // Ablations of drt, each under its own name, which is absent where false.
  bool random_retrieval = false;       // any earlier chunks instead of the best
  bool uniform_chunk_weights = false;  // retrieved chunks weigh the same, so that nothing trains the retriever
  bool residual_reset = false;         // the residual of docs/model.md, 7, is y
  // Not in files, of evaluation alone: the chunks that the model is fed in place of its own (fed_retriever.h); empty:
  // its own.
  std::string fed;

  std::int64_t num_upper_groups() const { return static_cast<std::int64_t>(decoder_layers.size()) - 1; }
};

// Numbers that terms are hashed to where a model is fed what BM25 finds.
inline constexpr std::int64_t fed_terms = 1024;

// Numbers that a chunk is found by.
std::int64_t landmark_size(const ModelConfig& config);

}  // namespace lookback
