// Attention to the nearest of the positions that lie before a window (arXiv 2203.08913, section 3.2; 2407.02486).
#pragma once

#include <ATen/ATen.h>

#include "ops/nearest_attention_kernel.h"

namespace lookback {

// query [N, L, H, D]; key, value [N, B + L, Hkv, D], of which the first B rows precede the first query. The query at
// row i = B, B + 1, ... of the keys takes, in each head, of the rows i - W - M <= j < i - W the K of the largest q . k,
// and gives softmax(q . k / sqrt(D)) v over these; 0 where there is no such row: [N, L, H, D]. Differentiable in all
// three (the choice itself has no gradient). float32 on the CPU with D a multiple of 8 up to 256 has a kernel. Else
// these are tensor operations; scores are held for some queries at a time and computed again for backward.
at::Tensor nearest_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                             const NearestAttentionSizes& sizes);

// The same from states [N, B + L, r], whose last L rows are the queries' own: K rows are taken by the largest
// s_i . s_j, the same for all heads, and their keys and values are s key_weight^T and s value_weight^T, weights
// [Hkv * D, r]. Differentiable in query, states (as keys and values) and weights.
at::Tensor nearest_state_attention(const at::Tensor& query, const at::Tensor& states, const at::Tensor& key_weight,
                                   const at::Tensor& value_weight, const NearestAttentionSizes& sizes);

}  // namespace lookback
