// How landmark attention is cut into tiles: parts of a block of queries against whole blocks of keys.
#pragma once

#include "kernels/cpu/sequence_row.h"
#include "kernels/cpu/turns.h"
#include "kernels/cpu/vectors.h"
#include "kernels/landmark_attention_params.h"

namespace lookback::simd {

// Queries of a tile at most: its operands and results fit the second cache.
[[gnu::always_inline]] inline std::int64_t largest_part(const LandmarkAttentionParams& p) {
  const std::int64_t most = p.head_dim <= 128 ? 64 : 32;
  return smaller(in_eights(p.block_size), most);
}

[[gnu::always_inline]] inline std::int64_t parts_of_block(const LandmarkAttentionParams& p) {
  return (p.block_size + largest_part(p) - 1) / largest_part(p);
}

// Some queries of one block of one head of one sequence: positions [first, first + rows); columns: rows in eights.
struct LandmarkPart {
  std::int64_t batch, head, block, first, rows, columns;
};

[[gnu::always_inline]] inline LandmarkPart landmark_part(const LandmarkAttentionParams& p, std::int64_t batch,
                                                         std::int64_t head, std::int64_t block, std::int64_t part) {
  const std::int64_t offset = part * largest_part(p);
  const std::int64_t rows = smaller(largest_part(p), p.block_size - offset);
  return {batch, head, block, block * p.block_size + offset, rows, in_eights(rows)};
}

// Item `item` of forward's.
[[gnu::always_inline]] inline LandmarkPart landmark_part_at(const LandmarkAttentionParams& p, std::int64_t item) {
  const std::int64_t parts = p.num_blocks * parts_of_block(p);
  const std::int64_t head = item / parts;
  const std::int64_t place = by_turns(item % parts, parts);
  return landmark_part(p, head / p.num_heads, head % p.num_heads, place / parts_of_block(p), place % parts_of_block(p));
}

// Keys of the queries' own block that any of them sees: text alone.
[[gnu::always_inline]] inline std::int64_t own_rows(const LandmarkAttentionParams& p, const LandmarkPart& part) {
  return smaller(part.first + part.rows - part.block * p.block_size, p.block_size - 1);
}

// Whether all text of a block of keys is at the window's distance from all the queries, or behind it: then the position
// bias is the same for all of it.
[[gnu::always_inline]] inline bool beyond_window(const LandmarkAttentionParams& p, const LandmarkPart& part,
                                                 std::int64_t key_block) {
  return part.first - (key_block * p.block_size + p.block_size - 2) >= p.window_size;
}

// Of the part's queries, whether they do not read a block.
[[gnu::always_inline]] inline std::uint8_t* unread_queries(const LandmarkAttentionParams& p, const LandmarkPart& part,
                                                           std::int64_t key_block) {
  const std::int64_t row = (part.batch * p.num_heads + part.head) * p.num_blocks + key_block;
  return p.unread + row * p.num_blocks * p.block_size + part.first;
}

// m_h of a head.
[[gnu::always_inline]] inline float landmark_slope(const LandmarkAttentionParams& p, std::int64_t head) {
  return static_cast<float>(__builtin_exp2(-8.0 * static_cast<double>(head + 1) / static_cast<double>(p.num_heads)));
}

}  // namespace lookback::simd
