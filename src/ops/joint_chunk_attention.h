// Attention to the positions of several chunks under one softmax, as RETRO's chunked cross-attention reads its
// neighbours (arXiv 2112.04426, section 2.4); chunk_attention.h gives each chunk a softmax of its own.
#pragma once

#include <ATen/ATen.h>

namespace lookback {

// query [N, C, T, H, D]; key, value [N, E, S, H, D]; indices [N, C, K] int64, -1 for none: the T queries of chunk c
// attend to all positions of the chunks indices[c] together, softmax(q . k / sqrt(D)) v; 0 where there are none.
// Returns [N, C, T, H, D]; gradients to query, key and value. float32 on the CPU with D a multiple of 8 up to 256 reads
// the chunks where they lie (kernels/joint_chunk_attention.h); results do not depend on the number of threads. Else
// retrieved keys and values are gathered. Softmax in float32 (float64 for float64 inputs). Throws Error naming the
// argument that does not fit.
at::Tensor joint_chunk_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                 const at::Tensor& indices);

}  // namespace lookback
