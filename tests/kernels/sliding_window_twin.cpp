#include "kernels/sliding_window_twin.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/normal_numbers.h"

namespace lookback {
namespace {

// One query row (begins at `query`) at key row `position` of keys that begin at `key`, rows `row` apart.
struct Place {
  std::int64_t query, key, row, position, head;
};

void add_row(const SlidingWindowSizes& z, const SlidingWindowInputs& in, const Place& at, SlidingWindowTwin& twin) {
  const double scale = 1 / std::sqrt(static_cast<double>(z.head_dim));
  const bool alibi = z.bias == PositionBias::alibi;
  const double slope =
      alibi ? std::pow(2.0, -8.0 * static_cast<double>(at.head + 1) / static_cast<double>(z.heads)) : 0;
  const std::int64_t first = std::max<std::int64_t>(0, at.position - z.window);
  std::vector<double> probabilities;
  std::vector<Dot> gains;
  double maximum = -INFINITY;
  for (std::int64_t j = first; j <= at.position; ++j) {
    const Dot product = dot(&in.query[at.query], &in.key[at.key + j * at.row], z.head_dim);
    const double distance = slope * static_cast<double>(at.position - j);
    probabilities.push_back(product.value * scale - distance);
    gains.push_back(dot(&in.grad_output[at.query], &in.value[at.key + j * at.row], z.head_dim));
    maximum = std::max(maximum, probabilities.back());
    twin.largest_dot_terms = std::max(twin.largest_dot_terms, product.magnitude * scale);
    twin.largest_score = std::max(twin.largest_score, product.magnitude * scale + distance);
  }
  double denominator = 0;
  for (double& p : probabilities) denominator += p = std::exp(p - maximum);
  Dot mean;
  for (std::size_t s = 0; s < gains.size(); ++s) {
    probabilities[s] /= denominator;
    mean.value += probabilities[s] * gains[s].value;
    mean.magnitude += probabilities[s] * gains[s].magnitude;
  }
  for (std::size_t s = 0; s < gains.size(); ++s) {
    const double p = probabilities[s];
    const double grad_score = p * (gains[s].value - mean.value) * scale;
    const double score_terms = p * scale * (gains[s].magnitude + mean.magnitude);
    for (std::int64_t d = 0; d < z.head_dim; ++d) {
      const std::int64_t q = at.query + d;
      const std::int64_t k = at.key + (first + static_cast<std::int64_t>(s)) * at.row + d;
      twin.output.add(q, p * in.value[k], std::abs(p * in.value[k]));
      twin.grad_value.add(k, p * in.grad_output[q], std::abs(p * in.grad_output[q]));
      twin.grad_key.add(k, grad_score * in.query[q], score_terms * std::abs(in.query[q]));
      twin.grad_query.add(q, grad_score * in.key[k], score_terms * std::abs(in.key[k]));
    }
  }
}

}  // namespace

std::string describe(const SlidingWindowSizes& z) {
  return size_text("N", z.batch) + size_text("L", z.queries) + size_text("M", z.past) + size_text("H", z.heads) +
         size_text("Hkv", z.kv_heads) + size_text("D", z.head_dim) + size_text("W", z.window) +
         (z.bias == PositionBias::alibi ? "alibi " : "no bias ");
}

SlidingWindowInputs make_inputs(const SlidingWindowSizes& z, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto draw = [&](std::int64_t count) { return normal_numbers(random, count); };
  const std::int64_t query_count = z.batch * z.queries * z.heads * z.head_dim;
  const std::int64_t key_count = z.batch * (z.past + z.queries) * z.kv_heads * z.head_dim;
  return {draw(query_count), draw(key_count), draw(key_count), draw(query_count)};
}

SlidingWindowTwin sliding_window_twin(const SlidingWindowSizes& sizes, const SlidingWindowInputs& inputs) {
  const std::int64_t query_count = sizes.batch * sizes.queries * sizes.heads * sizes.head_dim;
  const std::int64_t num_keys = sizes.past + sizes.queries;
  const std::int64_t key_count = sizes.batch * num_keys * sizes.kv_heads * sizes.head_dim;
  SlidingWindowTwin twin{Sums(query_count), Sums(query_count), Sums(key_count), Sums(key_count)};
  for (std::int64_t row = 0; row < sizes.batch * sizes.queries * sizes.heads; ++row) {
    const std::int64_t head = row % sizes.heads;
    const std::int64_t batch = row / sizes.heads / sizes.queries;
    const std::int64_t kv_head = head / (sizes.heads / sizes.kv_heads);
    add_row(sizes, inputs,
            {.query = row * sizes.head_dim,
             .key = (batch * num_keys * sizes.kv_heads + kv_head) * sizes.head_dim,
             .row = sizes.kv_heads * sizes.head_dim,
             .position = sizes.past + row / sizes.heads % sizes.queries,
             .head = head},
            twin);
  }
  return twin;
}

}  // namespace lookback
