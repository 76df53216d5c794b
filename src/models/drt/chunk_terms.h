// BM25 of chunks' terms (fixed_retriever.h) for retrievers that have it besides what they find chunks by themselves:
// its keys stand behind theirs in a chunk's landmark.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>

#include "models/drt/chunk_retriever.h"
#include "models/drt/fixed_retriever.h"

namespace lookback {

class ChunkTerms {
 public:
  ChunkTerms(const ModelConfig& config, at::Device device) : bm25_(config_of(config), device) {}

  // own [N, C, F], with those of the chunks' tokens behind them; ids as ChunkRetriever::landmarks has them.
  at::Tensor behind(const at::Tensor& own, const at::Tensor& ids) const;
  // The asking chunks as the other retriever knows them, and as BM25 does.
  static AskingChunks without(const AskingChunks& asking);
  static AskingChunks alone(const AskingChunks& asking);
  // The other retriever's queries [N, C, F] with as many numbers as landmarks have, and what their scores are divided
  // by made up for; BM25's part is 0.
  static at::Tensor widened(const at::Tensor& query, const AskingChunks& asking);

  const FixedRetriever& bm25() const { return bm25_; }

 private:
  static ModelConfig config_of(ModelConfig config);

  FixedRetriever bm25_;
};

// own, to whose scores BM25's are added, weighed by a learned number (model.lmk_terms).
std::unique_ptr<ChunkRetriever> add_term_scores(std::unique_ptr<ChunkRetriever> own, ParameterSet& parameters,
                                                const ModelConfig& config);

}  // namespace lookback
