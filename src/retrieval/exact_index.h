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

  // One that is given its landmarks one after another, as a file of them is read, and searches when it has them all.
  explicit ExactIndex(at::Device device) : device_(device) {}
  // Takes rows [first, first + count) of landmarks [E, d], of which those before are taken and those behind need not be
  // written yet; the same tensor in all calls.
  void take(const at::Tensor& landmarks, std::int64_t first, std::int64_t count);

  std::int64_t num_chunks() const override { return landmarks_.size(0); }
  BestChunks best(const at::Tensor& query, std::int64_t top_k) const override;

  // All landmarks in float32, for any number of queries.
  BestChunks best_by_product(const at::Tensor& query, std::int64_t top_k) const;

 private:
  void compress(std::int64_t first, std::int64_t count);
  BestChunks best_by_bounds(const at::Tensor& query, std::int64_t top_k) const;
  std::vector<std::int64_t> candidates(const float* scores, double query_norm, std::int64_t top_k) const;

  at::Device device_;
  at::Tensor landmarks_;  // [E, d]
  // What stands for them in 8 bits; undefined where it is not worth it.
  at::Tensor elements_;  // [E, d] int8
  at::Tensor scales_;    // [E]
  at::Tensor slack_;     // [E]: at most |q| slack lies between a score in 8 bits, as computed, and the exact one
};

}  // namespace lookback
