#include "ops/joint_chunk_attention.h"

#include <cmath>

namespace lookback {

at::Tensor joint_chunk_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                 const at::Tensor& indices) {
  const std::int64_t num_chunks = key.size(1);
  const at::Tensor first_row = at::arange(key.size(0), indices.options()).view({-1, 1, 1}) * num_chunks;
  const at::Tensor rows = (indices.clamp_min(0) + first_row).flatten();
  // [N, C, H, K * S, D]
  const auto gathered = [&](const at::Tensor& chunks) {
    return chunks.flatten(0, 1)
        .index_select(0, rows)
        .view({query.size(0), query.size(1), -1, chunks.size(3), chunks.size(4)})
        .transpose(2, 3);
  };
  const at::Tensor missing = indices.lt(0).repeat_interleave(key.size(2), 2).unsqueeze(2).unsqueeze(3);
  const double scale = 1 / std::sqrt(static_cast<double>(query.size(4)));
  const at::ScalarType type = query.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor scores =
      at::matmul(query.transpose(2, 3) * scale, gathered(key).transpose(3, 4)).to(type);  // [N, C, H, T, K * S]
  // A row of nothing would be a softmax of -inf alone.
  const at::Tensor weights =
      at::softmax(scores.masked_fill(missing, -INFINITY).masked_fill(missing.all(-1, true), 0), -1)
          .masked_fill(missing, 0);
  return at::matmul(weights.to(value.scalar_type()), gathered(value)).transpose(2, 3);
}

}  // namespace lookback
