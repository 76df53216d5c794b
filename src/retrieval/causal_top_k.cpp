#include "retrieval/causal_top_k.h"

#include <algorithm>
#include <cmath>

namespace lookback {

at::Tensor chunk_scores(const at::Tensor& query, const at::Tensor& landmarks) {
  const at::ScalarType type = query.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const double scale = 1 / std::sqrt(static_cast<double>(query.size(-1)));
  return at::matmul(query.to(type) * scale, landmarks.to(type).transpose(-2, -1));
}

at::Tensor causal_chunk_scores(const at::Tensor& query, const at::Tensor& landmarks, std::int64_t first_chunk) {
  const at::Tensor scores = chunk_scores(query, landmarks);
  const at::TensorOptions options = query.options().dtype(at::kLong);
  const at::Tensor chunk = at::arange(first_chunk, first_chunk + query.size(1), options).unsqueeze(1);
  const at::Tensor hidden = at::arange(landmarks.size(1), options).unsqueeze(0).ge(chunk);
  return scores.masked_fill(hidden, -INFINITY);
}

TopK causal_top_k(const at::Tensor& scores, std::int64_t top_k, const std::optional<at::Generator>& noise_generator) {
  const std::int64_t selectable = std::min(top_k, scores.size(-1));
  at::Tensor selection = scores.detach();
  if (noise_generator.has_value()) {
    selection = selection - at::empty_like(selection).exponential_(1, noise_generator).log_();
  }
  const at::Tensor picked = std::get<1>(selection.topk(selectable, -1));
  const at::Tensor picked_scores = scores.gather(-1, picked);
  const at::Tensor nothing = picked_scores.detach().isinf();
  // A row with nothing visible would be a softmax of -inf alone.
  const at::Tensor weights =
      at::softmax(picked_scores.masked_fill(nothing.all(-1, true), 0), -1).masked_fill(nothing, 0);
  const std::int64_t missing = top_k - selectable;
  return {at::constant_pad_nd(picked.masked_fill(nothing, -1), {0, missing}, -1),
          at::constant_pad_nd(weights, {0, missing}, 0)};
}

}  // namespace lookback
