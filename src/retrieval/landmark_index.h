// Searches many landmarks for those of the largest scores.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

namespace lookback {

// The best chunks of each query, by score(c, e) = query_c . landmark_e / sqrt(d) (docs/model.md, 6).
struct BestChunks {
  at::Tensor scores;   // [C, K] float32, the best first; -inf where there are fewer than K
  at::Tensor indices;  // [C, K] int64; -1 there
};

class LandmarkIndex {
 public:
  virtual ~LandmarkIndex() = default;

  virtual std::int64_t num_chunks() const = 0;

  // query [C, d] of any floating type, on the index's device. May be called from several threads at once.
  virtual BestChunks best(const at::Tensor& query, std::int64_t top_k) const = 0;
};

}  // namespace lookback
