// Chunk attention, backward, for one SIMD level.
#pragma once

#include "kernels/chunk_readers.h"
#include "kernels/cpu/pack_chunk.h"
#include "kernels/cpu/softmax_gradient.h"
#include "kernels/cpu/softmax_tile.h"

namespace lookback::simd {

// Scratch of backward: a block of queries and a stored chunk, each as its products want it.
struct BackwardScratch {
  float* queries_transposed;    // [D, columns], scaled
  float* queries;               // [rows, D]
  float* gradients_transposed;  // [D, columns]: gradients of the output
  float* gradients;             // [rows, D]
  float* grad_queries;          // [rows, D]
  float* keys;                  // [S, D]
  float* values;                // [S, D]
  float* probabilities;         // [S, columns]
  float* grad_scores;           // [S, columns]
  float* inverse_sums;          // [columns]
  float* gains;                 // [columns]: dO . o_k
};

[[gnu::always_inline]] inline BackwardScratch divide_scratch(const ChunkAttentionParams& p, std::int64_t columns,
                                                             float* scratch) {
  const auto take = [&](std::int64_t count) {
    float* const taken = scratch;
    scratch += count;
    return taken;
  };
  const std::int64_t query_side = columns * p.head_dim;
  const std::int64_t chunk_side = p.chunk_size * p.head_dim;
  const std::int64_t tile = p.chunk_size * columns;
  // Braces evaluate from left to right.
  return {take(query_side), take(query_side), take(query_side), take(query_side), take(query_side), take(chunk_side),
          take(chunk_side), take(tile),       take(tile),       take(columns),    take(columns)};
}

// What of a tile's gradients is wanted: those of the queries and weights, those of keys and values.
struct Wanted {
  bool queries, chunks;
};

[[gnu::always_inline]] inline void pack_block(const ChunkAttentionParams& p, const ChunkAttentionGradients& g,
                                              const ChunkItem& item, const QueryBlock& block,
                                              const BackwardScratch& s) {
  const auto query = [&](std::int64_t row) { return query_row(p, p.query, item, block.first + row); };
  const auto gradient = [&](std::int64_t row) { return query_row(p, g.grad_output, item, block.first + row); };
  pack_transposed(block.rows, block.columns, p.head_dim, p.softmax_scale, query, s.queries_transposed);
  pack_transposed(block.rows, block.columns, p.head_dim, 1, gradient, s.gradients_transposed);
  pack_rows(block.rows, p.head_dim, query, s.queries);
  pack_rows(block.rows, p.head_dim, gradient, s.gradients);
}

// One stored chunk against one block of queries. With P the probabilities, G = V dO^T (what each would gain) and
// gain = sum_s P G:   dw = sum gain,   dV = w P dO,   dS = w P (G - gain),   dK = scale dS Q,   dQ = scale dS^T K.
// Returns dw.
template <class Level>
[[gnu::noinline]] double backward_tile(const ChunkAttentionParams& p, const ChunkAttentionGradients& g,
                                       const ChunkItem& item, const QueryBlock& block, std::int64_t stored_chunk,
                                       float weight, Wanted wanted, const BackwardScratch& s) {
  if (weight == 0 && !wanted.queries) return 0;
  softmax_tile<Level>(p.chunk_size, block.columns, p.head_dim, s.keys, s.queries_transposed, p.softmax_plus_one,
                      s.probabilities, s.inverse_sums);
  tile_products<Level>(p.chunk_size, block.columns, p.head_dim, s.values, s.gradients_transposed, s.grad_scores);
  softmax_gradient<Level>(p.chunk_size, block.columns, s.inverse_sums, s.probabilities, s.grad_scores, s.gains);
  const float score_factor = weight * p.softmax_scale;
  if (wanted.chunks && weight != 0) {
    const std::int64_t row_stride = p.num_kv_heads * p.head_dim;
    const std::int64_t place =
        (item.batch * p.stored_chunks + stored_chunk) * p.chunk_size * row_stride + item.kv_head * p.head_dim;
    add_product<Level>(p.chunk_size, p.head_dim, block.rows, Left<LeftOrder::rows>{s.probabilities, block.columns},
                       s.gradients, &weight, 0, g.grad_value + place, row_stride);
    add_product<Level>(p.chunk_size, p.head_dim, block.rows, Left<LeftOrder::rows>{s.grad_scores, block.columns},
                       s.queries, &score_factor, 0, g.grad_key + place, row_stride);
  }
  if (!wanted.queries) return 0;
  if (weight != 0) {
    add_product<Level>(block.rows, p.head_dim, p.chunk_size, Left<LeftOrder::columns>{s.grad_scores, block.columns},
                       s.keys, &score_factor, 0, s.grad_queries, p.head_dim);
  }
  double grad_weight = 0;
  for (std::int64_t row = 0; row < block.rows; ++row) grad_weight += s.gains[row];
  return grad_weight;
}

// All that one chunk of queries and one key head give; wanted.queries holds.
template <class Level>
void backward_item(const ChunkAttentionParams& p, const ChunkAttentionGradients& g, const ChunkItem& item,
                   Wanted wanted, float* scratch) {
  const std::int64_t reads = (item.batch * p.num_chunks + item.chunk) * p.top_k;
  float* const grad_weights = g.grad_weights + reads * p.num_kv_heads + item.kv_head;
  for (std::int64_t k = 0; k < p.top_k; ++k) grad_weights[k * p.num_kv_heads] = 0;
  for_each_query_block(p, [&](const QueryBlock& block) {
    const BackwardScratch s = divide_scratch(p, block.columns, scratch);
    pack_block(p, g, item, block, s);
    for (std::int64_t i = 0; i < block.rows * p.head_dim; i += 8) store<8>(s.grad_queries + i, Float<8>{});
    for (std::int64_t k = 0; k < p.top_k; ++k) {
      const std::int64_t stored_chunk = p.indices[reads + k];
      if (stored_chunk < 0) continue;
      pack_chunk(p, p.key, item, stored_chunk, s.keys);
      pack_chunk(p, p.value, item, stored_chunk, s.values);
      grad_weights[k * p.num_kv_heads] +=
          static_cast<float>(backward_tile<Level>(p, g, item, block, stored_chunk, p.weights[reads + k], wanted, s));
    }
    for (std::int64_t row = 0; row < block.rows; ++row) {
      float* const to = contiguous_row(p, g.grad_query, item, block.first + row);
      for (std::int64_t d = 0; d < p.head_dim; d += 8) store<8>(to + d, load<8>(s.grad_queries + row * p.head_dim + d));
    }
  });
}

// The gradients of one head of one stored chunk: its readers come in order, those of one query chunk together, so that
// sums are formed as backward_item forms them.
template <class Level>
void backward_stored_chunk(const ChunkAttentionParams& p, const ChunkAttentionGradients& g, const ChunkReaders& readers,
                           const ChunkItem& item, std::int64_t stored_chunk, float* scratch) {
  const std::int64_t place = item.batch * p.stored_chunks + stored_chunk;
  std::int64_t begin = readers.offsets[place];
  while (begin < readers.offsets[place + 1]) {
    const std::int64_t chunk = readers.reads[begin] / p.top_k;
    std::int64_t end = begin + 1;
    while (end < readers.offsets[place + 1] && readers.reads[end] / p.top_k == chunk) ++end;
    const ChunkItem reader{item.batch, chunk, item.kv_head};
    for_each_query_block(p, [&](const QueryBlock& block) {
      const BackwardScratch s = divide_scratch(p, block.columns, scratch);
      pack_block(p, g, reader, block, s);
      pack_chunk(p, p.key, reader, stored_chunk, s.keys);
      pack_chunk(p, p.value, reader, stored_chunk, s.values);
      for (std::int64_t i = begin; i < end; ++i) {
        const float weight = p.weights[item.batch * p.num_chunks * p.top_k + readers.reads[i]];
        backward_tile<Level>(p, g, reader, block, stored_chunk, weight, {.queries = false, .chunks = true}, s);
      }
    });
    begin = end;
  }
}

template <class Level>
void chunk_attention_backward_heads(const ChunkAttentionParams& p, const ChunkAttentionGradients& g, std::int64_t first,
                                    std::int64_t last, float* scratch) {
  for (std::int64_t i = first; i < last; ++i) {
    for (std::int64_t chunk = 0; chunk < p.num_chunks; ++chunk) {
      backward_item<Level>(p, g, {i / p.num_kv_heads, chunk, i % p.num_kv_heads}, {.queries = true, .chunks = true},
                           scratch);
    }
  }
}

template <class Level>
void chunk_attention_backward_queries(const ChunkAttentionParams& p, const ChunkAttentionGradients& g,
                                      std::int64_t first, std::int64_t last, float* scratch) {
  for (std::int64_t i = first; i < last; ++i) {
    backward_item<Level>(p, g, item_at(i, p.num_kv_heads, p.num_chunks), {.queries = true, .chunks = false}, scratch);
  }
}

template <class Level>
void chunk_attention_backward_chunks(const ChunkAttentionParams& p, const ChunkAttentionGradients& g,
                                     const ChunkReaders& readers, std::int64_t first, std::int64_t last,
                                     float* scratch) {
  for (std::int64_t i = first; i < last; ++i) {
    const ChunkItem item = item_at(i, p.num_kv_heads, p.stored_chunks);
    backward_stored_chunk<Level>(p, g, readers, item, item.chunk, scratch);
  }
}

}  // namespace lookback::simd
