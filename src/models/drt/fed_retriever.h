// A model fed other chunks than its own choice. At evaluation, this tells what retrieval gives the same weights from
// what their architecture gives; in training, it is what a retriever that the loss trains has to beat.
#pragma once

#include <memory>
#include <string>

#include "models/drt/chunk_retriever.h"

namespace lookback {

// own: whose chunks are replaced; those that are fed are weighed as it weighs them. config.own<DrtConfig>().fed says
// which they are, the chunk_topk of
// - "random": any earlier ones, by a hash (random_selection), so that every call is fed the same;
// - "latest": the nearest earlier ones;
// - "bm25": the best by BM25 of the chunks' terms (FixedRetriever);
// - "none": none.
std::unique_ptr<ChunkRetriever> make_fed_retriever(std::unique_ptr<ChunkRetriever> own, const ModelConfig& config,
                                                   at::Device device);

// Throws Error that begins with `source` and lists these names, "trained" for the model's own among them, unless `name`
// is one.
void check_fed(const std::string& name, const std::string& source);

}  // namespace lookback
