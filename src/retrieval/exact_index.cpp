#include "retrieval/exact_index.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <queue>
#include <utility>

#include "kernels/landmark_compression.h"
#include "kernels/landmark_scores.h"
#include "ops/parallel.h"
#include "retrieval/causal_top_k.h"

namespace lookback {
namespace {

constexpr std::int64_t block_landmarks = 65536;     // whose scores are there at once
constexpr std::int64_t fewest_compressed = 16384;   // below, float32 lies in the processor's cache
constexpr std::int64_t most_queries_by_bounds = 8;  // above, a matrix product reads the landmarks once for all

// The best of two lists.
BestChunks merge(const BestChunks& a, const BestChunks& b, std::int64_t top_k) {
  const at::Tensor scores = at::cat({a.scores, b.scores}, 1);
  const auto best = scores.topk(std::min(top_k, scores.size(1)), 1);
  return {std::get<0>(best), at::cat({a.indices, b.indices}, 1).gather(1, std::get<1>(best))};
}

BestChunks fill_up(const BestChunks& best, std::int64_t top_k) {
  const std::int64_t missing = top_k - best.scores.size(1);
  if (missing == 0) return best;
  return {at::constant_pad_nd(best.scores, {0, missing}, -INFINITY),
          at::constant_pad_nd(best.indices, {0, missing}, -1)};
}

}  // namespace

ExactIndex::ExactIndex(const at::Tensor& landmarks, at::Device device) : device_(device) {
  take(landmarks.contiguous(), 0, landmarks.size(0));
}

void ExactIndex::take(const at::Tensor& landmarks, std::int64_t first, std::int64_t count) {
  const std::int64_t num_landmarks = landmarks.size(0);
  if (!device_.is_cpu()) {
    if (first + count == num_landmarks) landmarks_ = landmarks.to(device_);
    return;
  }
  landmarks_ = landmarks;
  if (num_landmarks < fewest_compressed) return;
  if (first == 0) {
    elements_ = at::empty(landmarks.sizes(), at::kChar);
    scales_ = at::empty({num_landmarks}, at::kFloat);
    slack_ = at::empty({num_landmarks}, at::kFloat);
  }
  compress(first, count);
}

void ExactIndex::compress(std::int64_t first, std::int64_t count) {
  const std::int64_t size = landmarks_.size(1);
  // Of a float32 sum of `size` products, in any order, and of the scaling. Each norm is itself such a sum.
  const double roundoff = static_cast<double>(size + 16) * 0x1p-24;
  const LandmarkCompressionParams params{.size = size,
                                         .landmarks = landmarks_.const_data_ptr<float>(),
                                         .elements = elements_.mutable_data_ptr<std::int8_t>(),
                                         .scales = scales_.mutable_data_ptr<float>(),
                                         .slack = slack_.mutable_data_ptr<float>(),
                                         .remainder_factor = static_cast<float>(1 + 2 * roundoff),
                                         .rounded_factor = static_cast<float>(2 * roundoff * (1 + 2 * roundoff))};
  constexpr double operations_an_element = 8;
  parallel_with_scratch(
      count, operations_an_element * static_cast<double>(size), 0,
      [&](auto begin, auto end, float* /*scratch*/) { compress_landmarks(params, first + begin, first + end); });
}

BestChunks ExactIndex::best(const at::Tensor& query, std::int64_t top_k) const {
  if (elements_.defined() && query.size(0) <= most_queries_by_bounds) return best_by_bounds(query, top_k);
  return best_by_product(query, top_k);
}

BestChunks ExactIndex::best_by_product(const at::Tensor& query, std::int64_t top_k) const {
  BestChunks all;
  for (std::int64_t first = 0; first < num_chunks(); first += block_landmarks) {
    const std::int64_t count = std::min(block_landmarks, num_chunks() - first);
    const at::Tensor scores = chunk_scores(query, landmarks_.narrow(0, first, count)).to(at::kFloat);
    const auto best = scores.topk(std::min(top_k, count), 1);
    const BestChunks found{std::get<0>(best), std::get<1>(best) + first};
    all = all.scores.defined() ? merge(all, found, top_k) : found;
  }
  if (!all.scores.defined()) {
    const at::TensorOptions options = query.options();
    all = {at::empty({query.size(0), 0}, options.dtype(at::kFloat)),
           at::empty({query.size(0), 0}, options.dtype(at::kLong))};
  }
  return fill_up(all, top_k);
}

std::vector<std::int64_t> ExactIndex::candidates(const float* scores, double query_norm, std::int64_t top_k) const {
  const auto* const slack = slack_.const_data_ptr<float>();
  const auto norm = static_cast<float>(query_norm * (1 + 0x1p-20));
  // The top_k largest of what the scores are at least; the smallest of them is on top.
  std::priority_queue<float, std::vector<float>, std::greater<>> lowest;
  float threshold = -INFINITY;
  for (std::int64_t e = 0; e < num_chunks(); ++e) {
    const float at_least = scores[e] - norm * slack[e];
    if (at_least <= threshold) continue;
    lowest.push(at_least);
    if (std::ssize(lowest) <= top_k) continue;
    lowest.pop();
    threshold = lowest.top();
  }
  threshold = lowest.top();
  std::vector<std::int64_t> found;
  for (std::int64_t e = 0; e < num_chunks(); ++e) {
    if (scores[e] + norm * slack[e] >= threshold) found.push_back(e);
  }
  return found;
}

BestChunks ExactIndex::best_by_bounds(const at::Tensor& query, std::int64_t top_k) const {
  const at::Tensor floats = query.to(at::kFloat).contiguous();
  const std::int64_t num_queries = floats.size(0);
  const std::int64_t size = landmarks_.size(1);
  const at::Tensor scores = at::empty({num_queries, num_chunks()}, at::kFloat);
  const LandmarkScoresParams params{.num_queries = num_queries,
                                    .num_landmarks = num_chunks(),
                                    .size = size,
                                    .query = floats.const_data_ptr<float>(),
                                    .elements = elements_.const_data_ptr<std::int8_t>(),
                                    .scales = scales_.const_data_ptr<float>(),
                                    .scores = scores.mutable_data_ptr<float>()};
  parallel_with_scratch(num_chunks(), 2.0 * static_cast<double>(num_queries * size), landmark_scores_scratch(params),
                        [&](auto first, auto last, float* scratch) { landmark_scores(params, first, last, scratch); });
  const at::Tensor norms = floats.to(at::kDouble).norm(2, 1);
  std::vector<BestChunks> best(static_cast<std::size_t>(num_queries));
  for_each_in_parallel(best.size(), [&](std::size_t c) {
    const auto row = static_cast<std::int64_t>(c);
    const at::Tensor chosen =
        at::tensor(candidates(scores[row].const_data_ptr<float>(), norms[row].item<double>(), top_k), at::kLong);
    const at::Tensor exact = chunk_scores(floats.narrow(0, row, 1), landmarks_.index_select(0, chosen));  // [1, n]
    const auto top = exact.topk(std::min(top_k, exact.size(1)), 1);
    best[c] = fill_up({std::get<0>(top), chosen.index_select(0, std::get<1>(top)[0]).unsqueeze(0)}, top_k);
  });
  std::vector<at::Tensor> best_scores;
  std::vector<at::Tensor> best_indices;
  for (const BestChunks& one : best) {
    best_scores.push_back(one.scores);
    best_indices.push_back(one.indices);
  }
  return {at::cat(best_scores), at::cat(best_indices)};
}

}  // namespace lookback
