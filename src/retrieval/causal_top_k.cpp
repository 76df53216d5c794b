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

TopK choose_top_k(const at::Tensor& scores, const at::Tensor& selection, std::int64_t top_k) {
  const std::int64_t selectable = std::min(top_k, scores.size(-1));
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

TopK causal_top_k(const at::Tensor& scores, std::int64_t top_k, const std::optional<at::Generator>& noise_generator) {
  at::Tensor selection = scores.detach();
  if (noise_generator.has_value()) {
    selection = selection - at::empty_like(selection).exponential_(1, noise_generator).log_();
  }
  return choose_top_k(scores, selection, top_k);
}

at::Tensor stick_breaking_weights(const at::Tensor& scores, const at::Tensor& indices) {
  const at::Tensor missing = indices.lt(0);
  const at::Tensor chosen = scores.gather(-1, indices.clamp_min(0)).masked_fill(missing, -INFINITY);
  // From the nearest, which has the largest number, to the farthest.
  const at::Tensor order = indices.argsort(/*dim=*/-1, /*descending=*/true);
  const at::Tensor sorted = chosen.gather(-1, order);
  const at::Tensor left = at::log_sigmoid(-sorted.masked_fill(sorted.isinf(), -1e4));
  const at::Tensor before = left.cumsum(-1) - left;
  const at::Tensor weights = at::sigmoid(sorted) * before.exp();
  return at::zeros_like(weights).scatter(-1, order, weights).masked_fill(missing, 0);
}

TopK with_successors(const TopK& chosen, std::int64_t first_chunk, const std::vector<std::int64_t>& ends) {
  const at::Tensor last = at::arange(first_chunk, first_chunk + chosen.indices.size(1), chosen.indices.options());
  const at::Tensor next = chosen.indices + 1;
  at::Tensor none = chosen.indices.lt(0).logical_or(next.gt(last.unsqueeze(1)));
  for (const std::int64_t end : ends) none = none.logical_or(next.eq(end));
  return {at::cat({chosen.indices, next.masked_fill(none, -1)}, 2),
          at::cat({chosen.weights, chosen.weights.masked_fill(none, 0)}, 2)};
}

at::Tensor random_selection(std::int64_t first_chunk, std::int64_t num_queries, std::int64_t num_landmarks,
                            std::int64_t stream, at::Device device) {
  const at::TensorOptions options = at::TensorOptions(at::kLong).device(device);
  const at::Tensor chunk = at::arange(first_chunk, first_chunk + num_queries, options).unsqueeze(1);
  const at::Tensor landmark = at::arange(num_landmarks, options).unsqueeze(0);
  // A hash of the three numbers by rounds of multiplication and folding, in 31 bits so that no product overflows.
  constexpr std::int64_t mask = 0x7fffffff;
  const auto fold = [](const at::Tensor& x) { return x.bitwise_xor(x.bitwise_right_shift(15)); };
  at::Tensor hash = (chunk * 0x2c1b3c6d + landmark * 0x297a2d39 + stream * 0x1b873593).bitwise_and(mask);
  for (const std::int64_t factor : {0x4b9f2c1dLL, 0x68e31da5LL, 0x35fcb167LL}) {
    hash = (fold(hash) * factor).bitwise_right_shift(7).bitwise_and(mask);
  }
  return hash.to(at::kDouble);
}

at::Tensor uniform_weights(const at::Tensor& indices) {
  const at::Tensor chosen = indices.ge(0).to(at::kFloat);
  return chosen / chosen.sum(-1, true).clamp_min(1);
}

}  // namespace lookback
