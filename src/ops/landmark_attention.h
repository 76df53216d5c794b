// Landmark attention: grouped softmax over blocks that end in a landmark (arXiv 2305.16300, sections 3.1 and 3.2).
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

namespace lookback {

struct LandmarkAttentionSizes {
  std::int64_t block_size = 64;  // P: S = P - 1 positions of text, then the landmark
  // W: distances above it count as W, and blocks that begin up to W positions before a query's block, rounded up to
  // whole blocks, are read whatever their landmarks say. 0: no position bias, and only a query's own block is local.
  std::int64_t window_size = 0;
  std::int64_t top_k = 0;  // K: of the other blocks, each query of each head reads the best K; 0: all
};

// query [N, L, H, D]; key, value [N, L, Hkv, D], Hkv divides H; L a multiple of P. Returns [N, L, H, D].
// With score(i, j) = q_i . k_j / sqrt(D) - m_h min(i - j, W), m_h = 2^(-8 (h + 1) / H) (ALiBi, arXiv 2108.12409), a
// query at position i of block b weighs
//   - the text position j <= i of its own block:   p(j)
//   - the text position j of an earlier block e:   p(landmark of e) * softmax over e's text positions (j)
// where p is the softmax over both those j <= i of block b and the landmarks of all e < b that it may read. No landmark
// is read itself, also not by itself. For the choice of K alone, min(i, K) / 10,000 is subtracted from the i-th
// nearest's score, i = 0, 1, ...: of landmarks that are alike, as all are in a model's first layer, the nearest are
// best whatever the rounding. Gradients to all three. float32 on the CPU with D a multiple of 8 up to 256 has a kernel
// (kernels/landmark_attention.h), whose results do not depend on the number of threads. Else scores are held for a few
// blocks at a time, and computed again for backward. Softmax in float32 (float64 for float64 inputs). Throws Error
// naming the argument that does not fit.
at::Tensor landmark_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                              const LandmarkAttentionSizes& sizes);

}  // namespace lookback
