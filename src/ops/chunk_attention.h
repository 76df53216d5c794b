// Attention to retrieved chunks (grouped cross-attention, GCA; arXiv 2410.01651 section 3; docs/model.md, 7).
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

namespace lookback {

// query [N, C, P, H, D]; key, value [N, E, S, Hkv, D]; indices [N, C, K] int64 in [-1, E), -1: nothing retrieved;
// weights [N, C, K] (float32 or the query's type). For each of its chunk's K retrieved chunks a query position
// attends on its own, and the results are summed with the weights:
//   o_k = softmax(q . K_k^T * softmax_scale) V_k,   output = sum_k w_k o_k        [N, C, P, H, D]
// softmax_plus_one adds 1 to each chunk's softmax denominator. Gradients to query, key, value and weights (that to
// the weights trains the retriever). float32 on the CPU with D a multiple of 8 up to 256 reads the chunks where they
// lie (kernels/chunk_attention.h); results do not depend on the number of threads. Else retrieved keys and values are
// gathered, a few chunks at a time. Softmax in float32 (float64 for float64 inputs). Throws Error naming the argument
// that does not fit.
at::Tensor chunk_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                           const at::Tensor& indices, const at::Tensor& weights, double softmax_scale,
                           bool softmax_plus_one);

// d loss / d input. Undefined where nobody asked.
struct ChunkAttentionGrads {
  at::Tensor query, key, value, weights;
};

// The gradients of chunk_attention, for those who do their own autograd. grad_output [N, C, P, H, D]; queries: those of
// query and weights; chunks: those of key and value.
ChunkAttentionGrads chunk_attention_backward(const at::Tensor& grad_output, const at::Tensor& query,
                                             const at::Tensor& key, const at::Tensor& value, const at::Tensor& indices,
                                             const at::Tensor& weights, double softmax_scale, bool softmax_plus_one,
                                             bool queries = true, bool chunks = true);

// int8 elements [N, E, S, Hkv, D] and a float32 scale for each head of each position [N, E, S, Hkv].
struct ScaledChunks {
  at::Tensor elements, scales;
};

// The same with keys and values elements * scales; query float32 on the CPU, no gradients.
at::Tensor chunk_attention(const at::Tensor& query, const ScaledChunks& key, const ScaledChunks& value,
                           const at::Tensor& indices, const at::Tensor& weights, double softmax_scale,
                           bool softmax_plus_one);

// Whether a query [..., head_dim] of these options, without gradients, reads keys and values of bfloat16, float16 and
// int8 as they lie. Where it does not, whoever has them for more than one call widens them before.
bool reads_compressed_chunks(const at::TensorOptions& query, std::int64_t head_dim);

}  // namespace lookback
