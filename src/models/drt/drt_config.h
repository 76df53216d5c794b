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
  bool residual_reset = false;         // the older name of retrieved_into = "both"
  // Which way what was retrieved goes into the layer (docs/model.md, 7): "mlp", "residual" or "both" [retrieved_into]
  std::string retrieved_into = "mlp";
  std::int64_t key_conv_kernel = 0;  // of the chunk keys' short convolution; 0: none [key_conv_kernel]
  // Chunk attention begins as one that finds what is alike and hands it on: q_proj = chunk_k_proj and o_proj =
  // chunk_v_proj^T at first (mimetic initialisation, arXiv 2305.09828) [aligned_init]
  bool aligned_init = false;
  bool retrieve_successors = false;  // with each chunk that is chosen, also the one behind it [retrieve_successors]
  bool mask_slide_window = false;    // chunks that the window sees whole are not chosen [mask_slide_window]
  // What a chunk is found by: what the encoder makes of its landmark ("position"), of a learned vector in the
  // landmark's place ("vector"), or the mean of what it makes of the text ("mean") [landmark_from]
  std::string landmark_from = "position";
  // What asks for a chunk: what enters the upper group at its landmark ("position"), or what it is found by itself
  // ("landmark") [query_from]
  std::string query_from = "position";
  bool retrieval_projections = false;    // of queries and landmarks [retrieval_projections]
  bool stick_breaking = false;           // weights of chunks are stick-breaking, not softmax [stick_breaking]
  bool recency_bias = false;             // of two chunks that score alike the nearer is better [recency_bias]
  bool term_scores = false;              // BM25's scores are added to the learned ones [term_scores]
  double retrieval_temperature = 1;      // scores of chunks are divided by it [retrieval_temperature]
  std::int64_t encoder_conv_kernel = 0;  // of that before the encoder's first layer [encoder_conv_kernel]
  // The chunks that the model is fed in place of its own choice (fed_retriever.h): "random", "latest", "bm25" or
  // "none"; empty: its own. Also what evaluation sets [fed_retrieval]
  std::string fed;

  bool residual_has_retrieved() const { return residual_reset || retrieved_into != "mlp"; }
  bool mlp_has_retrieved() const { return retrieved_into != "residual"; }
  std::int64_t num_upper_groups() const { return static_cast<std::int64_t>(decoder_layers.size()) - 1; }
};

// Numbers that terms are hashed to where BM25 takes part beside the model's own retriever.
inline constexpr std::int64_t fed_terms = 1024;

// Chunks that a chunk retrieves at most.
std::int64_t most_retrieved_chunks(const ModelConfig& config);

// Chunks before one that asks, its own first, that it does not choose because the window of the chunk behind it sees
// them whole.
std::int64_t num_masked_chunks(const ModelConfig& config);

// Numbers that a chunk is found by.
std::int64_t landmark_size(const ModelConfig& config);

}  // namespace lookback
