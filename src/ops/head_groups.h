// Grouped-query attention as batched matrix products: query heads that share a key head become rows of one product.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>

namespace lookback {

// [N, B, rows, Hkv * R, D] -> [N, B, Hkv, R * rows, D].
inline at::Tensor group_heads(const at::Tensor& rows, std::int64_t num_kv_heads) {
  const std::int64_t group = rows.size(3) / num_kv_heads;
  return rows.unflatten(3, {num_kv_heads, group}).permute({0, 1, 3, 4, 2, 5}).flatten(3, 4);
}

// [N, B, Hkv, R * rows, D] -> [N, B, rows, Hkv * R, D].
inline at::Tensor ungroup_heads(const at::Tensor& grouped, std::int64_t num_heads) {
  const std::int64_t group = num_heads / grouped.size(2);
  return grouped.unflatten(3, {group, grouped.size(3) / group}).permute({0, 1, 4, 2, 3, 5}).flatten(3, 4);
}

}  // namespace lookback
