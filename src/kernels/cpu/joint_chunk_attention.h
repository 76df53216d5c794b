// Attention to retrieved chunks under one softmax, for one SIMD level.
#pragma once

#include "kernels/cpu/chunk_attention_backward.h"
#include "kernels/cpu/window_tile.h"
#include "kernels/joint_chunk_attention_params.h"

namespace lookback::simd {

// All queries see all of a chunk, and nothing is said of positions.
[[gnu::always_inline]] inline WindowTile chunk_tile(const ChunkAttentionParams& p, const QueryBlock& block) {
  return {.rows = p.chunk_size, .columns = block.columns, .depth = p.head_dim};
}

template <class Level>
void attend_block_jointly(const JointChunkAttentionParams& joint, const ChunkItem& item, const QueryBlock& block,
                          float* scratch) {
  const ChunkAttentionParams& p = joint.chunks;
  const std::int64_t columns = block.columns;
  float* const queries = scratch;                                  // [D, columns], scaled
  float* const keys = queries + p.head_dim * columns;              // [S, D]
  float* const values = keys + p.chunk_size * p.head_dim;          // [S, D]
  float* const exponentials = values + p.chunk_size * p.head_dim;  // [S, columns]
  float* const outputs = exponentials + p.chunk_size * columns;    // [rows, D]
  float* const keep = outputs + columns * p.head_dim;              // [columns]
  const RunningSoftmax running{keep + columns, keep + 2 * columns};
  pack_transposed(
      block.rows, columns, p.head_dim, p.softmax_scale,
      [&](std::int64_t row) { return query_row(p, p.query, item, block.first + row); }, queries);
  for (std::int64_t i = 0; i < block.rows * p.head_dim; i += 8) store<8>(outputs + i, Float<8>{});
  for (std::int64_t column = 0; column < columns; ++column) {
    running.maxima[column] = -__builtin_inff();
    running.sums[column] = 0;
  }
  const std::int64_t* const indices = p.indices + (item.batch * p.num_chunks + item.chunk) * p.top_k;
  for (std::int64_t k = 0; k < p.top_k; ++k) {
    if (indices[k] < 0) continue;
    pack_chunk(p, p.key, item, indices[k], keys);
    pack_chunk(p, p.value, item, indices[k], values);
    window_softmax_tile<Level>(chunk_tile(p, block), keys, queries, running, exponentials, keep);
    rescale_add_product<Level>(block.rows, p.head_dim, p.chunk_size, Left<LeftOrder::columns>{exponentials, columns},
                               values, keep, outputs, p.head_dim);
  }
  for (std::int64_t row = 0; row < block.rows; ++row) {
    const bool read = running.sums[row] > 0;
    const float inverse = read ? 1.0F / running.sums[row] : 0.0F;
    const std::int64_t place = contiguous_row_index(p, item, block.first + row);
    joint.softmax_lse[place] = read ? running.maxima[row] + __builtin_logf(running.sums[row]) : 0.0F;
    float* const to = p.output + place * p.head_dim;
    for (std::int64_t d = 0; d < p.head_dim; d += 8) {
      store<8>(to + d, load<8>(outputs + row * p.head_dim + d) * inverse);
    }
  }
}

template <class Level>
void joint_chunk_attention_forward(const JointChunkAttentionParams& joint, std::int64_t first, std::int64_t last,
                                   float* scratch) {
  const ChunkAttentionParams& p = joint.chunks;
  for (std::int64_t i = first; i < last; ++i) {
    const ChunkItem item = item_at(i, p.num_kv_heads, p.num_chunks);
    for_each_query_block(p, [&](const QueryBlock& block) { attend_block_jointly<Level>(joint, item, block, scratch); });
  }
}

// Queries and gradients of the output, as chunk attention has them; the logs of the sums in the place of its inverse
// sums, and in that of its gains dO . output.
template <class Level>
[[gnu::always_inline]] inline void pack_joint_block(const JointChunkAttentionParams& joint,
                                                    const ChunkAttentionGradients& g, const ChunkItem& item,
                                                    const QueryBlock& block, const BackwardScratch& s) {
  const ChunkAttentionParams& p = joint.chunks;
  pack_block(p, g, item, block, s);
  for (std::int64_t column = 0; column < block.columns; ++column) {
    s.inverse_sums[column] = 0;
    s.gains[column] = 0;
  }
  for (std::int64_t row = 0; row < block.rows; ++row) {
    const std::int64_t place = contiguous_row_index(p, item, block.first + row);
    s.inverse_sums[row] = joint.softmax_lse[place];
    Float<8> sum = {};
    for (std::int64_t d = 0; d < p.head_dim; d += 8) {
      sum += load<8>(p.output + place * p.head_dim + d) * load<8>(s.gradients + row * p.head_dim + d);
    }
    s.gains[row] = sum_lanes<8>(sum);
  }
}

// One stored chunk against one block of queries. With P the probabilities and gain = dO . output:
//   dV = P dO,   dS = P (V dO^T - gain),   dK = scale dS Q,   dQ = scale dS^T K.
template <class Level>
void joint_backward_tile(const ChunkAttentionParams& p, const ChunkAttentionGradients& g, const ChunkItem& item,
                         const QueryBlock& block, std::int64_t stored_chunk, Wanted wanted, const BackwardScratch& s) {
  constexpr float one = 1;
  const WindowTile tile = chunk_tile(p, block);
  window_probabilities<Level>(tile, s.keys, s.queries_transposed, s.inverse_sums, s.probabilities);
  window_grad_scores<Level>(tile, s.values, s.gradients_transposed, s.gains, s.probabilities, s.grad_scores);
  if (wanted.chunks) {
    const std::int64_t row_stride = p.num_kv_heads * p.head_dim;
    const std::int64_t place =
        (item.batch * p.stored_chunks + stored_chunk) * p.chunk_size * row_stride + item.kv_head * p.head_dim;
    add_product<Level>(p.chunk_size, p.head_dim, block.rows, Left<LeftOrder::rows>{s.probabilities, block.columns},
                       s.gradients, &one, 0, g.grad_value + place, row_stride);
    add_product<Level>(p.chunk_size, p.head_dim, block.rows, Left<LeftOrder::rows>{s.grad_scores, block.columns},
                       s.queries, &p.softmax_scale, 0, g.grad_key + place, row_stride);
  }
  if (wanted.queries) {
    add_product<Level>(block.rows, p.head_dim, p.chunk_size, Left<LeftOrder::columns>{s.grad_scores, block.columns},
                       s.keys, &p.softmax_scale, 0, s.grad_queries, p.head_dim);
  }
}

// All that one chunk of queries and one key head give; wanted.queries holds.
template <class Level>
void joint_backward_item(const JointChunkAttentionParams& joint, const ChunkAttentionGradients& g,
                         const ChunkItem& item, Wanted wanted, float* scratch) {
  const ChunkAttentionParams& p = joint.chunks;
  const std::int64_t* const indices = p.indices + (item.batch * p.num_chunks + item.chunk) * p.top_k;
  for_each_query_block(p, [&](const QueryBlock& block) {
    const BackwardScratch s = divide_scratch(p, block.columns, scratch);
    pack_joint_block<Level>(joint, g, item, block, s);
    for (std::int64_t i = 0; i < block.rows * p.head_dim; i += 8) store<8>(s.grad_queries + i, Float<8>{});
    for (std::int64_t k = 0; k < p.top_k; ++k) {
      if (indices[k] < 0) continue;
      pack_chunk(p, p.key, item, indices[k], s.keys);
      pack_chunk(p, p.value, item, indices[k], s.values);
      joint_backward_tile<Level>(p, g, item, block, indices[k], wanted, s);
    }
    for (std::int64_t row = 0; row < block.rows; ++row) {
      float* const to = contiguous_row(p, g.grad_query, item, block.first + row);
      for (std::int64_t d = 0; d < p.head_dim; d += 8) store<8>(to + d, load<8>(s.grad_queries + row * p.head_dim + d));
    }
  });
}

template <class Level>
void joint_chunk_attention_backward_heads(const JointChunkAttentionParams& joint, const ChunkAttentionGradients& g,
                                          std::int64_t first, std::int64_t last, float* scratch) {
  const ChunkAttentionParams& p = joint.chunks;
  for (std::int64_t i = first; i < last; ++i) {
    for (std::int64_t chunk = 0; chunk < p.num_chunks; ++chunk) {
      joint_backward_item<Level>(joint, g, {i / p.num_kv_heads, chunk, i % p.num_kv_heads},
                                 {.queries = true, .chunks = true}, scratch);
    }
  }
}

template <class Level>
void joint_chunk_attention_backward_queries(const JointChunkAttentionParams& joint, const ChunkAttentionGradients& g,
                                            std::int64_t first, std::int64_t last, float* scratch) {
  const ChunkAttentionParams& p = joint.chunks;
  for (std::int64_t i = first; i < last; ++i) {
    joint_backward_item<Level>(joint, g, item_at(i, p.num_kv_heads, p.num_chunks), {.queries = true, .chunks = false},
                               scratch);
  }
}

// The readers of a stored chunk come in order, so that sums are formed as joint_backward_item forms them.
template <class Level>
void joint_chunk_attention_backward_chunks(const JointChunkAttentionParams& joint, const ChunkAttentionGradients& g,
                                           const ChunkReaders& readers, std::int64_t first, std::int64_t last,
                                           float* scratch) {
  const ChunkAttentionParams& p = joint.chunks;
  for (std::int64_t i = first; i < last; ++i) {
    const ChunkItem stored = item_at(i, p.num_kv_heads, p.stored_chunks);
    const std::int64_t place = stored.batch * p.stored_chunks + stored.chunk;
    std::int64_t begin = readers.offsets[place];
    while (begin < readers.offsets[place + 1]) {
      const std::int64_t chunk = readers.reads[begin] / p.top_k;
      std::int64_t end = begin + 1;  // a chunk may be read twice by the same queries
      while (end < readers.offsets[place + 1] && readers.reads[end] / p.top_k == chunk) ++end;
      const ChunkItem reader{stored.batch, chunk, stored.kv_head};
      for_each_query_block(p, [&](const QueryBlock& block) {
        const BackwardScratch s = divide_scratch(p, block.columns, scratch);
        pack_joint_block<Level>(joint, g, reader, block, s);
        pack_chunk(p, p.key, reader, stored.chunk, s.keys);
        pack_chunk(p, p.value, reader, stored.chunk, s.values);
        for (std::int64_t read = begin; read < end; ++read) {
          joint_backward_tile<Level>(p, g, reader, block, stored.chunk, {.queries = false, .chunks = true}, s);
        }
      });
      begin = end;
    }
  }
}

}  // namespace lookback::simd
