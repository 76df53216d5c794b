// The border between joint chunk attention and its kernels.
#pragma once

#include "kernels/chunk_attention_params.h"

namespace lookback {

// Of chunks, weights and softmax_plus_one are not read.
struct JointChunkAttentionParams {
  ChunkAttentionParams chunks;
  float* softmax_lse = nullptr;  // [N, C, P, H] contiguous: log of the sum of exp(score), 0 where nothing was
                                 // retrieved; written by forward, read by backward, as the output is
};

}  // namespace lookback
