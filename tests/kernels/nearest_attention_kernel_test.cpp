// Against loops over positions in float64, written from the formulas of nn/nearest_attention.h.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

#include "kernels/aligned_floats.h"
#include "kernels/nearest_attention.h"
#include "kernels/normal_numbers.h"
#include "kernels/sums.h"

namespace lookback {
namespace {

struct Sizes {
  std::int64_t batch, queries, past, heads, kv_heads, head_dim, window, memory, top_k;
};

struct Inputs {
  std::vector<float> query, key, value, grad_output;
};

struct Twin {
  Sums output, grad_query, grad_key, grad_value;
  double largest_dot_terms = 0;  // the largest sum_d |q_d k_d| / sqrt(D)
};

Inputs make_inputs(const Sizes& z, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const std::int64_t query_count = z.batch * z.queries * z.heads * z.head_dim;
  const std::int64_t key_count = z.batch * (z.past + z.queries) * z.kv_heads * z.head_dim;
  const auto draw = [&](std::int64_t count) { return normal_numbers(random, count); };
  return {draw(query_count), draw(key_count), draw(key_count), draw(query_count)};
}

// One query row that begins at `query` and sits at key row `position` of keys that begin at `key`, rows `row` apart.
void add_row(const Sizes& z, const Inputs& in, std::int64_t query, std::int64_t position, std::int64_t key,
             std::int64_t row, Twin& twin) {
  const double scale = 1 / std::sqrt(static_cast<double>(z.head_dim));
  std::vector<std::pair<double, std::int64_t>> best;  // score, row
  for (std::int64_t j = std::max<std::int64_t>(0, position - z.window - z.memory); j < position - z.window; ++j) {
    const Dot product = dot(&in.query[query], &in.key[key + j * row], z.head_dim);
    twin.largest_dot_terms = std::max(twin.largest_dot_terms, product.magnitude * scale);
    best.emplace_back(product.value * scale, j);
  }
  std::ranges::sort(best, std::greater<>());
  best.resize(std::min(best.size(), static_cast<std::size_t>(z.top_k)));
  const double maximum = best.empty() ? 0 : best[0].first;
  double denominator = 0;
  for (const auto& [score, unused] : best) denominator += std::exp(score - maximum);
  std::vector<Dot> gains;
  Dot mean;
  for (auto& [score, j] : best) {
    score = std::exp(score - maximum) / denominator;
    gains.push_back(dot(&in.grad_output[query], &in.value[key + j * row], z.head_dim));
  }
  for (std::size_t k = 0; k < best.size(); ++k) {
    mean.value += best[k].first * gains[k].value;
    mean.magnitude += best[k].first * gains[k].magnitude;
  }
  for (std::size_t k = 0; k < best.size(); ++k) {
    const auto [p, j] = best[k];
    const double grad_score = p * (gains[k].value - mean.value) * scale;
    const double terms = p * (gains[k].magnitude + mean.magnitude) * scale;
    for (std::int64_t d = 0; d < z.head_dim; ++d) {
      const std::int64_t q = query + d;
      const std::int64_t place = key + j * row + d;
      twin.output.add(q, p * in.value[place], std::abs(p * in.value[place]));
      twin.grad_value.add(place, p * in.grad_output[q], std::abs(p * in.grad_output[q]));
      twin.grad_key.add(place, grad_score * in.query[q], terms * std::abs(in.query[q]));
      twin.grad_query.add(q, grad_score * in.key[place], terms * std::abs(in.key[place]));
    }
  }
}

Twin nearest_twin(const Sizes& z, const Inputs& in) {
  const auto sums = [](const std::vector<float>& like) { return Sums(std::ssize(like)); };
  Twin twin{sums(in.query), sums(in.query), sums(in.key), sums(in.key)};
  const std::int64_t row = z.kv_heads * z.head_dim;
  for (std::int64_t n = 0; n < z.batch; ++n) {
    for (std::int64_t i = 0; i < z.queries; ++i) {
      for (std::int64_t h = 0; h < z.heads; ++h) {
        add_row(z, in, ((n * z.queries + i) * z.heads + h) * z.head_dim, z.past + i,
                n * (z.past + z.queries) * row + h / (z.heads / z.kv_heads) * z.head_dim, row, twin);
      }
    }
  }
  return twin;
}

void compare(const Sizes& z, std::uint64_t seed) {
  const Inputs in = make_inputs(z, seed);
  const Twin twin = nearest_twin(z, in);
  const double score_error = (z.head_dim + 4) * unit_roundoff * twin.largest_dot_terms + 40 * unit_roundoff;
  const double probability_error = 2 * score_error + (z.top_k + 12) * unit_roundoff;
  const double gain_error = 2 * probability_error + (z.head_dim + 2 * z.top_k + 8) * unit_roundoff;
  const std::int64_t num_readers = z.heads / z.kv_heads * z.queries;
  const double key_error = gain_error + static_cast<double>(num_readers + 4) * unit_roundoff;
  const auto rows = [&](const std::vector<float>& data, std::int64_t length, std::int64_t heads) {
    return SequenceRows{data.data(), length * heads * z.head_dim, heads * z.head_dim, z.head_dim};
  };
  for (const SimdLevel level : supported_simd_levels()) {
    SCOPED_TRACE(testing::Message() << "L" << z.queries << " past " << z.past << " H" << z.heads << " Hkv" << z.kv_heads
                                    << " D" << z.head_dim << " W" << z.window << " M" << z.memory << " K" << z.top_k
                                    << " " << simd_level_name(level));
    // Not 0, where all must be written.
    std::vector<float> output(in.query.size(), NAN);
    std::vector<float> grad_query(in.query.size(), NAN);
    std::vector<float> grad_key(in.key.size(), 0);
    std::vector<float> grad_value(in.key.size(), 0);
    std::vector<float> weights(in.query.size() / z.head_dim * z.top_k, NAN);
    std::vector<std::int32_t> chosen(weights.size(), -7);
    NearestAttentionParams params{.batch_size = z.batch,
                                  .num_queries = z.queries,
                                  .num_past = z.past,
                                  .num_heads = z.heads,
                                  .num_kv_heads = z.kv_heads,
                                  .head_dim = z.head_dim,
                                  .window_size = z.window,
                                  .memory_size = z.memory,
                                  .top_k = z.top_k,
                                  .softmax_scale = static_cast<float>(1 / std::sqrt(static_cast<double>(z.head_dim))),
                                  .query = rows(in.query, z.queries, z.heads),
                                  .key = rows(in.key, z.past + z.queries, z.kv_heads),
                                  .value = rows(in.value, z.past + z.queries, z.kv_heads),
                                  .output = output.data(),
                                  .rows = chosen.data(),
                                  .weights = weights.data()};
    const auto scratch = aligned_floats(nearest_attention_forward_scratch(params));
    // One item at a time, last first: items must not depend on each other.
    for (std::int64_t i = nearest_attention_forward_items(params); i > 0; --i) {
      nearest_attention_forward(params, i - 1, i, scratch.get(), level);
    }
    expect_within(output, twin.output, probability_error + z.top_k * unit_roundoff, "output");
    const auto backward_scratch = aligned_floats(nearest_attention_backward_scratch(params));
    nearest_attention_backward(
        params, {rows(in.grad_output, z.queries, z.heads), grad_query.data(), grad_key.data(), grad_value.data()}, 0,
        z.batch * z.kv_heads, backward_scratch.get(), level);
    expect_within(grad_query, twin.grad_query, gain_error, "grad_query");
    expect_within(grad_key, twin.grad_key, key_error, "grad_key");
    expect_within(grad_value, twin.grad_value, key_error, "grad_value");

    // Without what backward wants, the same output.
    std::vector<float> other(in.query.size(), NAN);
    params.output = other.data();
    params.rows = nullptr;
    params.weights = nullptr;
    nearest_attention_forward(params, 0, nearest_attention_forward_items(params), scratch.get(), level);
    EXPECT_EQ(output, other);
  }
}

TEST(NearestAttentionKernel, EveryTailOfQueries) {
  for (std::int64_t size = 1; size <= 20; ++size) compare({1, size, 20 - size, 1, 1, 16, size / 3, 7, 3}, size);
  for (std::int64_t past : {0, 1, 63, 64, 65, 130}) compare({1, 70, past, 2, 2, 16, 20, 90, 5}, 500 + past);
}

TEST(NearestAttentionKernel, EveryWindowAndMemory) {
  for (std::int64_t window : {0, 1, 31, 63, 64, 65, 99, 100, 200}) {
    for (std::int64_t memory : {1, 2, 64, 65, 1000}) compare({1, 100, 0, 1, 1, 8, window, memory, 4}, 50 + window);
  }
}

TEST(NearestAttentionKernel, EveryNumberOfRows) {
  for (std::int64_t top_k : {1, 2, 3, 7, 8, 9, 31, 32, 33, 99, 100, 150}) {
    compare({2, 120, 10, 4, 2, 16, 11, 100, top_k}, 900 + top_k);
  }
}

TEST(NearestAttentionKernel, EveryHeadDim) {
  for (std::int64_t head_dim = 8; head_dim <= 256; head_dim += 8) {
    compare({1, 40, 3, 1, 1, head_dim, 5, 30, 6}, head_dim);
  }
}

TEST(NearestAttentionKernel, OfEqualRowsTheNearestAreRead) {
  const Sizes z{1, 60, 0, 1, 1, 8, 4, 50, 3};
  Inputs in = make_inputs(z, 1);
  for (std::int64_t row = 1; row < z.queries; ++row) std::copy_n(in.key.begin(), 8, in.key.begin() + row * 8);
  const Twin twin = nearest_twin(z, in);
  const SequenceRows query{in.query.data(), 0, 8, 8};
  for (const SimdLevel level : supported_simd_levels()) {
    std::vector<float> output(in.query.size(), NAN);
    const NearestAttentionParams params{.batch_size = 1,
                                        .num_queries = z.queries,
                                        .num_heads = 1,
                                        .num_kv_heads = 1,
                                        .head_dim = 8,
                                        .window_size = z.window,
                                        .memory_size = z.memory,
                                        .top_k = z.top_k,
                                        .query = query,
                                        .key = {in.key.data(), 0, 8, 8},
                                        .value = {in.value.data(), 0, 8, 8},
                                        .output = output.data()};
    const auto scratch = aligned_floats(nearest_attention_forward_scratch(params));
    nearest_attention_forward(params, 0, nearest_attention_forward_items(params), scratch.get(), level);
    expect_within(output, twin.output, 1e-5, "output");
  }
}

}  // namespace
}  // namespace lookback
