// Batches of a curriculum: stage after stage, each a mixture of sources.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "data/token_batch.h"

namespace lookback {

struct WeightedSource {
  std::unique_ptr<BatchSource> source;
  double weight = 1;  // how often a batch is one of this source's, as against the other sources of the stage
};

struct BatchStage {
  std::int64_t num_batches = 0;
  std::vector<WeightedSource> sources;
};

// The batches of each stage in their order; those of the last one never end. Which source a batch comes from follows
// from the seed, the stage and the batch's number in it; each source gives its batches from its first one on. Where a
// stage has several sources, a batch without loss weights gets equal ones of sum 1, so that the batches of a step count
// alike however many labels they have. Longer or more stages alter nothing of what was before their end.
// Throws Error without stages or sources, for numbers of batches below 1, weights that are negative, no numbers or all
// 0, and sources that listen; restore() for a state that is not one of these stages and sources.
std::unique_ptr<BatchSource> make_staged_batches(std::vector<BatchStage> stages, std::uint64_t seed);

}  // namespace lookback
