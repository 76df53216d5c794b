// Chunk attention of a single query position a chunk (decoding), for one SIMD level.
#pragma once

#include "kernels/cpu/chunk_head_rows.h"
#include "kernels/cpu/query_block.h"
#include "kernels/cpu/row_attention.h"

namespace lookback::simd {

// num_kv_heads key heads from the item's on; P is 1.
template <class Level, ElementType Type>
void decode_chunk(const ChunkAttentionParams& p, const ChunkItem& item, std::int64_t num_kv_heads, float* scratch) {
  const std::int64_t group = p.num_heads / p.num_kv_heads;
  const HeadRange heads{item.kv_head * group, (item.kv_head + num_kv_heads) * group, group, p.head_dim};
  const std::int64_t num_heads = heads.last - heads.first;
  float* const queries = scratch;                          // [heads, D], scaled
  float* const scores = queries + num_heads * p.head_dim;  // [heads, S in eights]
  float* const outputs = contiguous_row(p, p.output, item, 0);
  for (std::int64_t head = 0; head < num_heads; ++head) {
    const float* const query = query_row(p, p.query, item, head);
    for (std::int64_t d = 0; d < p.head_dim; d += 8) {
      store<8>(queries + head * p.head_dim + d, load<8>(query + d) * p.softmax_scale);
      store<8>(outputs + head * p.head_dim + d, Float<8>{});
    }
  }
  const std::int64_t* const indices = p.indices + (item.batch * p.num_chunks + item.chunk) * p.top_k;
  const float* const weights = p.weights + (item.batch * p.num_chunks + item.chunk) * p.top_k;
  const auto next_read = [&](std::int64_t k) {
    while (k < p.top_k && indices[k] < 0) ++k;
    return k;
  };
  const auto keys_of = [&](std::int64_t k) {
    return k < p.top_k ? chunk_head_rows<Type>(p, p.key, item.batch, indices[k]) : HeadRows<Type>{};
  };
  for (std::int64_t k = next_read(0), first = k; k < p.top_k; k = next_read(k + 1)) {
    const RowPass<Type> keys{keys_of(k), chunk_head_rows<Type>(p, p.value, item.batch, indices[k]), p.chunk_size};
    const RowPass<Type> values{keys.next, keys_of(next_read(k + 1)), p.chunk_size};
    if (k == first) keys.prefetch_beginning(heads);
    row_scores<Level>(keys, heads, queries, scores);
    for (std::int64_t head = 0; head < num_heads; ++head) {
      softmax_row(p.chunk_size, p.softmax_plus_one, weights[k], scores + head * in_eights(p.chunk_size));
    }
    add_rows<Level>(values, heads, scores, outputs);
  }
}

// Forward's items when P is 1: the heads of one chunk of queries are done together.
template <class Level>
void chunk_attention_decode(const ChunkAttentionParams& p, std::int64_t first, std::int64_t last, float* scratch) {
  for (std::int64_t i = first, together = 0; i < last; i += together) {
    const ChunkItem item = item_at(i, p.num_kv_heads, p.num_chunks);
    together = smaller(last - i, p.num_kv_heads - item.kv_head);
    with_element_type(p.key.type, [&]<ElementType Type>() { decode_chunk<Level, Type>(p, item, together, scratch); });
  }
}

}  // namespace lookback::simd
