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
// best whatever the rounding. Gradients to all three; scores are held for a few blocks at a time, and computed again
// for backward. Softmax in float32 (float64 for float64 inputs). Throws Error naming the argument that does not fit.
at::Tensor landmark_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                              const LandmarkAttentionSizes& sizes);

// Its parts, for queries whose earlier blocks lie elsewhere. Rows are [N, B, Hkv, R * T]: the R = H / Hkv query heads
// of a key head one after another, of each the T queries.

// T queries in each of B blocks that follow each other.
struct LandmarkQueries {
  at::Tensor query;              // [N, B, T, H, D]
  at::Tensor key, value;         // [N, B, T', Hkv, D]: of their blocks' first T' positions, of which they are the last
  std::int64_t first_block = 0;  // of the text
};

// Some blocks of the text before.
struct LandmarkBlocks {
  at::Tensor key, value;  // [N, E, S, Hkv, D]
  at::Tensor landmark;    // keys at the landmarks [N, E, Hkv, D]
  at::Tensor index;       // [E] int64, rising: which blocks these are
  // How many of them, from the first on, are known to lie with all their text at the window's distance from all queries
  // or behind it: they take less work.
  std::int64_t num_beyond_window = 0;
};

// How many of the first `num_blocks` blocks of a text are beyond the window of queries whose first is at position
// first_query.
std::int64_t num_blocks_beyond_window(std::int64_t num_blocks, std::int64_t first_query,
                                      const LandmarkAttentionSizes& sizes);

// Which of the blocks (`index` and `landmark` alone are read) each row may read: bool [N, B, Hkv, R * T, E].
at::Tensor readable_blocks(const LandmarkQueries& queries, const LandmarkBlocks& blocks,
                           const LandmarkAttentionSizes& sizes);

// The output [N, B, T, H, D], given that.
at::Tensor attend_to_blocks(const LandmarkQueries& queries, const LandmarkBlocks& blocks, const at::Tensor& readable,
                            const LandmarkAttentionSizes& sizes);

}  // namespace lookback
