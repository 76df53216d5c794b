// Landmark attention (landmark_attention.h) in two parts, as tensor operations, for queries whose earlier blocks lie
// elsewhere. Rows are [N, B, Hkv, R * T]: the R = H / Hkv query heads of a key head one after another, of each the T
// queries.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

#include "ops/landmark_attention.h"

namespace lookback {

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
