// Against one softmax over the retrieved positions of each query, in float64.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/aligned_floats.h"
#include "kernels/chunk_attention.h"
#include "kernels/joint_chunk_attention.h"
#include "kernels/normal_numbers.h"
#include "kernels/sums.h"

namespace lookback {
namespace {

struct Sizes {
  std::int64_t batch, chunks, positions, heads, kv_heads, head_dim, stored, chunk_size, top_k;
};

struct Inputs {
  std::vector<float> query, key, value, grad_output;
  std::vector<std::int64_t> indices;
};

struct Twin {
  Sums output, grad_query, grad_key, grad_value;
  double largest_dot_terms = 0;  // the largest sum_d |q_d k_d| / sqrt(D)
};

Inputs make_inputs(const Sizes& z, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const std::int64_t query_count = z.batch * z.chunks * z.positions * z.heads * z.head_dim;
  const std::int64_t key_count = z.batch * z.stored * z.chunk_size * z.kv_heads * z.head_dim;
  const auto draw = [&](std::int64_t count) { return normal_numbers(random, count); };
  Inputs in{draw(query_count), draw(key_count), draw(key_count), draw(query_count), {}};
  std::uniform_int_distribution<std::int64_t> index(-1, z.stored - 1);
  for (std::int64_t i = 0; i < z.batch * z.chunks * z.top_k; ++i) in.indices.push_back(index(random));
  // One chunk reads nothing, another one chunk twice.
  std::fill_n(in.indices.begin(), z.top_k, -1);
  std::fill_n(in.indices.end() - std::min<std::int64_t>(2, z.top_k), std::min<std::int64_t>(2, z.top_k), 0);
  return in;
}

// The query row of chunk `chunk` of all sequences' that begins at `query`.
void add_row(const Sizes& z, const Inputs& in, std::int64_t chunk, std::int64_t head, std::int64_t query, Twin& twin) {
  const double scale = 1 / std::sqrt(static_cast<double>(z.head_dim));
  std::vector<std::int64_t> places;
  std::vector<double> probabilities;
  std::vector<Dot> gains;
  double maximum = -INFINITY;
  for (std::int64_t k = 0; k < z.top_k; ++k) {
    const std::int64_t index = in.indices[chunk * z.top_k + k];
    for (std::int64_t s = 0; index >= 0 && s < z.chunk_size; ++s) {
      const std::int64_t row = (chunk / z.chunks * z.stored + index) * z.chunk_size + s;
      const std::int64_t place = (row * z.kv_heads + head / (z.heads / z.kv_heads)) * z.head_dim;
      const Dot product = dot(&in.query[query], &in.key[place], z.head_dim);
      twin.largest_dot_terms = std::max(twin.largest_dot_terms, product.magnitude * scale);
      maximum = std::max(maximum, product.value * scale);
      places.push_back(place);
      probabilities.push_back(product.value * scale);
      gains.push_back(dot(&in.grad_output[query], &in.value[place], z.head_dim));
    }
  }
  double denominator = 0;
  for (double& p : probabilities) denominator += p = std::exp(p - maximum);
  Dot mean;
  for (std::size_t i = 0; i < places.size(); ++i) {
    probabilities[i] /= denominator;
    mean.value += probabilities[i] * gains[i].value;
    mean.magnitude += probabilities[i] * gains[i].magnitude;
  }
  for (std::size_t i = 0; i < places.size(); ++i) {
    const double p = probabilities[i];
    const double grad_score = p * (gains[i].value - mean.value) * scale;
    const double terms = p * (gains[i].magnitude + mean.magnitude) * scale;
    for (std::int64_t d = 0; d < z.head_dim; ++d) {
      const std::int64_t q = query + d;
      const std::int64_t k = places[i] + d;
      twin.output.add(q, p * in.value[k], std::abs(p * in.value[k]));
      twin.grad_value.add(k, p * in.grad_output[q], std::abs(p * in.grad_output[q]));
      twin.grad_key.add(k, grad_score * in.query[q], terms * std::abs(in.query[q]));
      twin.grad_query.add(q, grad_score * in.key[k], terms * std::abs(in.key[k]));
    }
  }
}

Twin joint_twin(const Sizes& z, const Inputs& in) {
  const auto sums = [](const std::vector<float>& like) { return Sums(std::ssize(like)); };
  Twin twin{sums(in.query), sums(in.query), sums(in.key), sums(in.key)};
  for (std::int64_t row = 0; row < std::ssize(in.query) / z.head_dim; ++row) {
    add_row(z, in, row / z.heads / z.positions, row % z.heads, row * z.head_dim, twin);
  }
  return twin;
}

// The tensors of a kernel call.
struct Call {
  std::vector<float> output, lse, grad_query, grad_key, grad_value;
  JointChunkAttentionParams params;
  ChunkAttentionGradients gradients;
};

Call make_call(const Sizes& z, const Inputs& in) {
  Call call;
  // Not 0, where all must be written.
  call.output.assign(in.query.size(), NAN);
  call.lse.assign(in.query.size() / z.head_dim, NAN);
  call.grad_query.assign(in.query.size(), NAN);
  call.grad_key.assign(in.key.size(), 0);
  call.grad_value.assign(in.key.size(), 0);
  const auto queries = [&](const std::vector<float>& data) {
    const std::int64_t row = z.heads * z.head_dim;
    return QueryRows{data.data(), z.chunks * z.positions * row, z.positions * row, row, z.head_dim};
  };
  const auto chunks = [&](const std::vector<float>& data) {
    const std::int64_t row = z.kv_heads * z.head_dim;
    return ChunkRows{.data = data.data(),
                     .batch_stride = z.stored * z.chunk_size * row,
                     .chunk_stride = z.chunk_size * row,
                     .row_stride = row,
                     .head_stride = z.head_dim};
  };
  call.params = {.chunks = {.batch_size = z.batch,
                            .num_chunks = z.chunks,
                            .chunk_positions = z.positions,
                            .num_heads = z.heads,
                            .num_kv_heads = z.kv_heads,
                            .head_dim = z.head_dim,
                            .stored_chunks = z.stored,
                            .chunk_size = z.chunk_size,
                            .top_k = z.top_k,
                            .softmax_scale = static_cast<float>(1 / std::sqrt(static_cast<double>(z.head_dim))),
                            .query = queries(in.query),
                            .key = chunks(in.key),
                            .value = chunks(in.value),
                            .indices = in.indices.data(),
                            .output = call.output.data()},
                 .softmax_lse = call.lse.data()};
  call.gradients = {.grad_output = queries(in.grad_output),
                    .grad_query = call.grad_query.data(),
                    .grad_key = call.grad_key.data(),
                    .grad_value = call.grad_value.data()};
  return call;
}

void run_forward(Call& call, SimdLevel level) {
  const auto scratch = aligned_floats(joint_chunk_attention_forward_scratch(call.params.chunks));
  joint_chunk_attention_forward(call.params, 0, chunk_attention_forward_items(call.params.chunks), scratch.get(),
                                level);
}

void run_backward_in_two_passes(Call& call, SimdLevel level) {
  const ChunkAttentionParams& p = call.params.chunks;
  const auto scratch = aligned_floats(chunk_attention_backward_scratch(p));
  joint_chunk_attention_backward_queries(call.params, call.gradients, 0, chunk_attention_forward_items(p),
                                         scratch.get(), level);
  std::vector<std::int64_t> offsets(p.batch_size * p.stored_chunks + 1);
  std::vector<std::int64_t> reads(p.batch_size * p.num_chunks * p.top_k);
  list_chunk_readers(p.indices, p.batch_size, p.num_chunks * p.top_k, p.stored_chunks, offsets.data(), reads.data());
  // One item at a time, last first: items must not depend on each other.
  for (std::int64_t i = p.batch_size * p.num_kv_heads * p.stored_chunks; i > 0; --i) {
    joint_chunk_attention_backward_chunks(call.params, call.gradients, {offsets.data(), reads.data()}, i - 1, i,
                                          scratch.get(), level);
  }
}

void compare(const Sizes& z, std::uint64_t seed) {
  const Inputs in = make_inputs(z, seed);
  const Twin twin = joint_twin(z, in);
  const auto num_keys = static_cast<double>(z.chunk_size * z.top_k);
  const double score_error =
      (z.head_dim + 4) * unit_roundoff * twin.largest_dot_terms + 4 * unit_roundoff * (twin.largest_dot_terms + 10);
  const double probability_error = 2 * score_error + (num_keys + 12 + 8 * z.top_k) * unit_roundoff;
  const double gain_error = 2 * probability_error + (z.head_dim + num_keys + 8) * unit_roundoff;
  const std::int64_t most_readers = z.heads / z.kv_heads * z.positions * z.chunks * z.top_k;
  const auto num_readers = static_cast<double>(most_readers);
  const double key_error = gain_error + (num_readers + 4) * unit_roundoff;
  for (const SimdLevel level : supported_simd_levels()) {
    SCOPED_TRACE(testing::Message() << "C" << z.chunks << " P" << z.positions << " H" << z.heads << " Hkv" << z.kv_heads
                                    << " D" << z.head_dim << " E" << z.stored << " S" << z.chunk_size << " K" << z.top_k
                                    << " " << simd_level_name(level));
    Call call = make_call(z, in);
    run_forward(call, level);
    expect_within(call.output, twin.output, probability_error + num_keys * unit_roundoff, "output");
    const auto scratch = aligned_floats(chunk_attention_backward_scratch(call.params.chunks));
    joint_chunk_attention_backward_heads(call.params, call.gradients, 0, z.batch * z.kv_heads, scratch.get(), level);
    expect_within(call.grad_query, twin.grad_query, gain_error + num_keys * unit_roundoff, "grad_query");
    expect_within(call.grad_key, twin.grad_key, key_error, "grad_key");
    expect_within(call.grad_value, twin.grad_value, key_error, "grad_value");

    Call other = make_call(z, in);
    run_forward(other, level);
    run_backward_in_two_passes(other, level);
    EXPECT_EQ(call.grad_query, other.grad_query);
    EXPECT_EQ(call.grad_key, other.grad_key);
    EXPECT_EQ(call.grad_value, other.grad_value);
  }
}

TEST(JointChunkAttentionKernel, EveryTail) {
  for (std::int64_t size = 1; size <= 20; ++size) compare({1, 3, size, 1, 1, 16, 3, 21 - size, 2}, size);
  for (std::int64_t positions : {63, 64, 65, 127, 128, 130}) compare({1, 2, positions, 2, 2, 16, 3, 9, 3}, positions);
}

TEST(JointChunkAttentionKernel, EveryHeadDim) {
  for (std::int64_t head_dim = 8; head_dim <= 256; head_dim += 8) {
    compare({1, 3, 5, 1, 1, head_dim, 4, 6, 2}, head_dim);
  }
}

TEST(JointChunkAttentionKernel, ShapesOfModels) {
  compare({2, 5, 32, 4, 4, 16, 6, 31, 4}, 1);
  compare({1, 4, 64, 4, 4, 48, 5, 63, 8}, 2);
  compare({1, 3, 20, 6, 2, 32, 4, 15, 3}, 3);  // grouped-query
  compare({3, 1, 1, 4, 4, 64, 9, 31, 4}, 4);   // decoding
  compare({1, 2, 4, 1, 1, 8, 1, 1, 1}, 5);     // one position
}

}  // namespace
}  // namespace lookback
