// Exact search over all landmarks, in blocks.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "retrieval/landmark_index.h"

namespace lookback {

// What is read for one query is what takes the time: decoding asks once a chunk, and then reads all landmarks. On the
// CPU, a few queries therefore read the landmarks in 8 bits first. With the landmark l_e = s_e i_e + r_e, i_e of 8-bit
// integers,
//   | q . l_e - s_e q . i_e | <= |q| |r_e|
// by Cauchy and Schwarz, so whatever could be among the best K is known, and only that is read in float32: the result
// is exact. Many queries take a matrix product of all in float32.
class ExactIndex : public LandmarkIndex {
 public:
  // landmarks [E, d] float32 on the CPU, which the index keeps without copying (on another device: a copy).
  ExactIndex(const at::Tensor& landmarks, at::Device device);

  std::int64_t num_chunks() const override { return landmarks_.size(0); }
  BestChunks best(const at::Tensor& query, std::int64_t top_k) const override;

  // All landmarks in float32, for any number of queries.
  BestChunks best_by_product(const at::Tensor& query, std::int64_t top_k) const;

 private:
  void compress();
  BestChunks best_by_bounds(const at::Tensor& query, std::int64_t top_k) const;
  std::vector<std::int64_t> candidates(const float* scores, double query_norm, std::int64_t top_k) const;

  at::Tensor landmarks_;  // [E, d]
  // What stands for them in 8 bits; undefined where it is not worth it.
  at::Tensor elements_;  // [E, d] int8
  at::Tensor scales_;    // [E]
  at::Tensor slack_;     // [E]: at most |q| slack lies between a score in 8 bits, as computed, and the exact one
};

}  // namespace lookback
