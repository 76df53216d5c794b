#include "kernels/chunk_attention_twin.h"

#include <algorithm>
#include <cmath>

namespace lookback {
namespace {

// One query row (begins at `query`) against one head of one stored chunk (begins at `key`, rows `row` apart).
struct Place {
  std::int64_t query, key, row, weight, grad_weight;
};

void add_row(const ChunkAttentionSizes& z, const ChunkAttentionInputs& in, const Place& at, ChunkAttentionTwin& twin) {
  const double weight = in.weights[at.weight];
  std::vector<double> probabilities(z.chunk_size);
  double maximum = z.plus_one ? 0 : -INFINITY;
  for (std::int64_t s = 0; s < z.chunk_size; ++s) {
    const Dot score = dot(&in.query[at.query], &in.key[at.key + s * at.row], z.head_dim);
    probabilities[s] = score.value * in.softmax_scale;
    maximum = std::max(maximum, probabilities[s]);
    twin.largest_score_terms = std::max(twin.largest_score_terms, score.magnitude * std::abs(in.softmax_scale));
  }
  double denominator = z.plus_one ? std::exp(-maximum) : 0;
  for (double& p : probabilities) denominator += p = std::exp(p - maximum);
  std::vector<Dot> gains(z.chunk_size);
  Dot mean;
  for (std::int64_t s = 0; s < z.chunk_size; ++s) {
    probabilities[s] /= denominator;
    gains[s] = dot(&in.grad_output[at.query], &in.value[at.key + s * at.row], z.head_dim);
    mean.value += probabilities[s] * gains[s].value;
    mean.magnitude += probabilities[s] * gains[s].magnitude;
  }
  twin.grad_weights.add(at.grad_weight, mean.value, mean.magnitude);
  for (std::int64_t s = 0; s < z.chunk_size; ++s) {
    const double p = weight * probabilities[s];
    const double grad_score = p * (gains[s].value - mean.value) * in.softmax_scale;
    const double score_terms = std::abs(p * in.softmax_scale) * (gains[s].magnitude + mean.magnitude);
    for (std::int64_t d = 0; d < z.head_dim; ++d) {
      const std::int64_t q = at.query + d;
      const std::int64_t k = at.key + s * at.row + d;
      twin.output.add(q, p * in.value[k], std::abs(p * in.value[k]));
      twin.grad_value.add(k, p * in.grad_output[q], std::abs(p * in.grad_output[q]));
      twin.grad_key.add(k, grad_score * in.query[q], score_terms * std::abs(in.query[q]));
      twin.grad_query.add(q, grad_score * in.key[k], score_terms * std::abs(in.key[k]));
    }
  }
}

}  // namespace

ChunkAttentionTwin chunk_attention_twin(const ChunkAttentionSizes& sizes, const ChunkAttentionInputs& inputs) {
  const std::int64_t query_count = sizes.batch * sizes.chunks * sizes.positions * sizes.heads * sizes.head_dim;
  const std::int64_t key_count = sizes.batch * sizes.stored * sizes.chunk_size * sizes.kv_heads * sizes.head_dim;
  ChunkAttentionTwin twin{Sums(query_count), Sums(query_count), Sums(key_count), Sums(key_count),
                          Sums(sizes.batch * sizes.chunks * sizes.top_k * sizes.kv_heads)};
  for (std::int64_t read = 0; read < sizes.batch * sizes.chunks * sizes.top_k; ++read) {
    if (inputs.indices[read] < 0) continue;
    const std::int64_t chunk = read / sizes.top_k;  // n C + c
    const std::int64_t stored = chunk / sizes.chunks * sizes.stored + inputs.indices[read];
    for (std::int64_t row = 0; row < sizes.positions * sizes.heads; ++row) {
      const std::int64_t kv_head = row % sizes.heads / (sizes.heads / sizes.kv_heads);
      add_row(sizes, inputs,
              {.query = (chunk * sizes.positions * sizes.heads + row) * sizes.head_dim,
               .key = (stored * sizes.chunk_size * sizes.kv_heads + kv_head) * sizes.head_dim,
               .row = sizes.kv_heads * sizes.head_dim,
               .weight = read,
               .grad_weight = read * sizes.kv_heads + kv_head},
              twin);
    }
  }
  return twin;
}

}  // namespace lookback
