// Memorizing Transformer (arXiv 2203.08913, section 3): Llama layers that see a window, of which one, memory_layer,
// also attends to the memory_topk nearest of the memory_size positions that lie before its window.
//
// In that layer, sections 3.1 and 3.2: with q, k, v the heads of self-attention, each query of each head takes the
// memory_topk keys of the largest q . k among the positions i - W - memory_size <= j < i - W (exact search), and
//   memory = softmax(q . k / sqrt(D)) v over these,   attended = g memory + (1 - g) local,   g = sigmoid(b_h)
// with a learned b_h for each head, 0 at first, and local the window's attention. The memory has no positions: no bias,
// and queries and keys that are not rotated.
//
// With memory_width = r > 0 the memory is Neurocache's (arXiv 2407.02486, section 3): of each position only
// s = W_s norm(x) [r] is kept; the positions nearest by s_i . s_j serve all heads, their keys and values are W_k s and
// W_v s for queries and an output projection of their own, and what comes out is added to self-attention's:
//   attended = x + o(local) + o_m(memory).
// Of the paper's, neighbours of what was retrieved are not read besides.
//
// Other than in the papers: a sequence's memory is its own past, whole in training too, so that gradients reach the
// remembered keys and values (the papers' come from earlier steps and get none); as they are never older than the
// weights, queries and keys are not normalised. Where nothing lies before the window, memory is 0.
#pragma once

#include <cstdint>

namespace lookback {

struct Kind;

// Keys in brackets are those of config.json.
struct MemorizingConfig {
  std::int64_t memory_layer = 0;    // from 0 on [memory_layer]
  std::int64_t memory_size = 8192;  // positions [memory_size]
  std::int64_t memory_top_k = 32;   // that each head reads [memory_topk]
  std::int64_t memory_width = 0;    // of a position's compressed state; 0: keys and values [memory_width]
};

extern const Kind memorizing_kind;

}  // namespace lookback
