#include "kernels/chunk_attention_twin.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/normal_numbers.h"

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

std::string describe(const ChunkAttentionSizes& z) {
  return size_text("N", z.batch) + size_text("C", z.chunks) + size_text("P", z.positions) + size_text("H", z.heads) +
         size_text("Hkv", z.kv_heads) + size_text("D", z.head_dim) + size_text("E", z.stored) +
         size_text("S", z.chunk_size) + size_text("K", z.top_k) + (z.plus_one ? "+1 " : "");
}

ChunkAttentionInputs make_inputs(const ChunkAttentionSizes& z, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto draw = [&](std::int64_t count) { return normal_numbers(random, count); };
  ChunkAttentionInputs in;
  in.query = draw(z.batch * z.chunks * z.positions * z.heads * z.head_dim);
  in.key = draw(z.batch * z.stored * z.chunk_size * z.kv_heads * z.head_dim);
  in.value = draw(static_cast<std::int64_t>(in.key.size()));
  in.grad_output = draw(static_cast<std::int64_t>(in.query.size()));
  in.weights = draw(z.batch * z.chunks * z.top_k);
  in.indices.resize(in.weights.size());
  for (std::int64_t& index : in.indices) index = std::uniform_int_distribution<std::int64_t>(-1, z.stored - 1)(random);
  for (float& weight : in.weights) weight = random() % 8 == 0 ? 0 : weight;
  in.softmax_scale = 1 / std::sqrt(static_cast<double>(z.head_dim));
  return in;
}

ChunkAttentionSizes random_chunk_attention_sizes(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto draw = [&](std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  };
  const std::int64_t kv_heads = draw(1, 3);
  return {.batch = draw(1, 3),
          .chunks = draw(1, 4),
          .positions = draw(1, 40),
          .heads = kv_heads * draw(1, 4),
          .kv_heads = kv_heads,
          .head_dim = 8 * draw(2, 9),
          .stored = draw(1, 6),
          .chunk_size = draw(1, 40),
          .top_k = draw(1, 5),
          .plus_one = draw(0, 1) == 1};
}

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
