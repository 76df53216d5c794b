// Chunk attention of a single query position a chunk (decoding), for one SIMD level.
#pragma once

#include "kernels/cpu/chunk_head_rows.h"
#include "kernels/cpu/query_block.h"
#include "kernels/cpu/row_attention.h"

namespace lookback::simd {

// A work item: the chunk of queries and the K-th of its retrieved chunks, all heads of both.
struct DecodeItem {
  std::int64_t batch, query_chunk, stored_chunk;
  float weight;
};

[[gnu::always_inline]] inline DecodeItem decode_item_at(const ChunkAttentionParams& p, std::int64_t item) {
  const std::int64_t query_chunk = item / p.top_k;
  return {query_chunk / p.num_chunks, query_chunk % p.num_chunks, p.indices[item], p.weights[item]};
}

template <class Level, ElementType Type>
void decode_items(const ChunkAttentionParams& p, std::int64_t first, std::int64_t last, float* partials,
                  float* scratch) {
  const HeadRange heads{0, p.num_heads, p.num_heads / p.num_kv_heads, p.head_dim};
  float* const queries = scratch;                            // [H, D], scaled
  float* const scores = queries + p.num_heads * p.head_dim;  // [H, S in eights]
  const auto next_read = [&](std::int64_t i) {
    while (i < last && p.indices[i] < 0) ++i;
    return i;
  };
  const auto rows_of = [&](const ChunkRows& chunks, std::int64_t i) {
    const DecodeItem item = decode_item_at(p, i);
    return chunk_head_rows<Type>(p, chunks, item.batch, item.stored_chunk);
  };
  const std::int64_t first_read = next_read(first);
  for (std::int64_t i = first; i < last; ++i) {
    const DecodeItem item = decode_item_at(p, i);
    float* const partial = partials + (i - first) * p.num_heads * p.head_dim;
    for (std::int64_t d = 0; d < p.num_heads * p.head_dim; d += 8) store<8>(partial + d, Float<8>{});
    if (item.stored_chunk < 0) continue;
    const std::int64_t next = next_read(i + 1);
    const RowPass<Type> keys{rows_of(p.key, i), rows_of(p.value, i), p.chunk_size};
    const RowPass<Type> values{keys.next, next < last ? rows_of(p.key, next) : HeadRows<Type>{}, p.chunk_size};
    if (i == first_read) keys.prefetch_beginning(heads);
    const float* const query =
        p.query.data + item.batch * p.query.batch_stride + item.query_chunk * p.query.chunk_stride;
    for (std::int64_t head = 0; head < p.num_heads; ++head) {
      for (std::int64_t d = 0; d < p.head_dim; d += 8) {
        store<8>(queries + head * p.head_dim + d, load<8>(query + head * p.query.head_stride + d) * p.softmax_scale);
      }
    }
    row_scores<Level>(keys, heads, queries, scores);
    for (std::int64_t head = 0; head < p.num_heads; ++head) {
      softmax_row(p.chunk_size, p.softmax_plus_one, item.weight, scores + head * in_eights(p.chunk_size));
    }
    add_rows<Level>(values, heads, scores, partial);
  }
}

template <class Level>
void chunk_attention_decode(const ChunkAttentionParams& p, std::int64_t first, std::int64_t last, float* partials,
                            float* scratch) {
  with_element_type(p.key.type,
                    [&]<ElementType Type>() { decode_items<Level, Type>(p, first, last, partials, scratch); });
}

template <class Level>
void sum_partials(const ChunkAttentionParams& p, std::int64_t first, std::int64_t last, const float* partials) {
  const std::int64_t size = p.num_heads * p.head_dim;
  for (std::int64_t i = first; i < last; ++i, partials += p.top_k * size) {
    for (std::int64_t d = 0; d < size; d += 8) {
      Float<8> sum = {};
      for (std::int64_t k = 0; k < p.top_k; ++k) sum += load<8>(partials + k * size + d);
      store<8>(p.output + i * size + d, sum);
    }
  }
}

}  // namespace lookback::simd
