#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>

#include "kernels/aligned_floats.h"
#include "kernels/chunk_attention.h"
#include "kernels/chunk_attention_twin.h"
#include "kernels/half_numbers.h"

namespace lookback {
namespace {

using Sizes = ChunkAttentionSizes;
using Inputs = ChunkAttentionInputs;

// The tensors of a kernel call.
struct Call {
  std::vector<float> output, grad_query, grad_key, grad_value, grad_weights;
  ChunkAttentionParams params;
  ChunkAttentionGradients gradients;
};

Call make_call(const Sizes& z, const Inputs& in) {
  Call call;
  // Not 0, where all must be written.
  call.output.assign(in.query.size(), NAN);
  call.grad_query.assign(in.query.size(), NAN);
  call.grad_key.assign(in.key.size(), 0);
  call.grad_value.assign(in.key.size(), 0);
  call.grad_weights.assign(in.weights.size() * z.kv_heads, NAN);
  const auto query_rows = [&](const std::vector<float>& data) {
    const std::int64_t position = z.heads * z.head_dim;
    return QueryRows{data.data(), z.chunks * z.positions * position, z.positions * position, position, z.head_dim};
  };
  const auto chunk_rows = [&](const std::vector<float>& data) {
    const std::int64_t row = z.kv_heads * z.head_dim;
    return ChunkRows{.data = data.data(),
                     .batch_stride = z.stored * z.chunk_size * row,
                     .chunk_stride = z.chunk_size * row,
                     .row_stride = row,
                     .head_stride = z.head_dim};
  };
  call.params = {.batch_size = z.batch,
                 .num_chunks = z.chunks,
                 .chunk_positions = z.positions,
                 .num_heads = z.heads,
                 .num_kv_heads = z.kv_heads,
                 .head_dim = z.head_dim,
                 .stored_chunks = z.stored,
                 .chunk_size = z.chunk_size,
                 .top_k = z.top_k,
                 .softmax_scale = static_cast<float>(in.softmax_scale),
                 .softmax_plus_one = z.plus_one,
                 .query = query_rows(in.query),
                 .key = chunk_rows(in.key),
                 .value = chunk_rows(in.value),
                 .indices = in.indices.data(),
                 .weights = in.weights.data(),
                 .output = call.output.data()};
  call.gradients = {query_rows(in.grad_output), call.grad_query.data(), call.grad_key.data(), call.grad_value.data(),
                    call.grad_weights.data()};
  return call;
}

void run_forward(Call& call, SimdLevel level) {
  const auto scratch = aligned_floats(chunk_attention_forward_scratch(call.params));
  chunk_attention_forward(call.params, 0, chunk_attention_forward_items(call.params), scratch.get(), level);
}

// items_at_a_time: in ranges of so many, last first, since items must not depend on each other.
void run_decode(Call& call, SimdLevel level, std::int64_t items_at_a_time) {
  const ChunkAttentionParams& p = call.params;
  const auto scratch = aligned_floats(chunk_attention_decode_scratch(p));
  const std::int64_t num_chunks = p.batch_size * p.num_chunks;
  const std::int64_t num_items = num_chunks * p.top_k;
  std::vector<float> partials(num_items * p.num_heads * p.head_dim, NAN);
  for (std::int64_t last = num_items; last > 0; last -= items_at_a_time) {
    const std::int64_t first = std::max<std::int64_t>(0, last - items_at_a_time);
    chunk_attention_decode(p, first, last, partials.data() + first * p.num_heads * p.head_dim, scratch.get(), level);
  }
  chunk_attention_sum_partials(p, 0, num_chunks, partials.data(), level);
}

void run_backward_by_heads(Call& call, SimdLevel level) {
  const auto scratch = aligned_floats(chunk_attention_backward_scratch(call.params));
  chunk_attention_backward_heads(call.params, call.gradients, 0, call.params.batch_size * call.params.num_kv_heads,
                                 scratch.get(), level);
}

void run_backward_in_two_passes(Call& call, SimdLevel level) {
  const ChunkAttentionParams& p = call.params;
  const auto scratch = aligned_floats(chunk_attention_backward_scratch(p));
  chunk_attention_backward_queries(p, call.gradients, 0, chunk_attention_forward_items(p), scratch.get(), level);
  std::vector<std::int64_t> offsets(p.batch_size * p.stored_chunks + 1);
  std::vector<std::int64_t> reads(p.batch_size * p.num_chunks * p.top_k);
  list_chunk_readers(p.indices, p.batch_size, p.num_chunks * p.top_k, p.stored_chunks, offsets.data(), reads.data());
  // One item at a time, last first: items must not depend on each other.
  for (std::int64_t i = p.batch_size * p.num_kv_heads * p.stored_chunks; i > 0; --i) {
    chunk_attention_backward_chunks(p, call.gradients, {offsets.data(), reads.data()}, i - 1, i, scratch.get(), level);
  }
}

// A sum of n terms is off by at most n u of its absolute terms. A score so rounded moves its probability by as much
// relative to it, once in the numerator and once in the denominator; exp adds 4 u to each, sums over keys S u.
double probability_error(const Sizes& z, const ChunkAttentionTwin& twin) {
  const double score_error = (z.head_dim + 4) * unit_roundoff * twin.largest_score_terms;
  return 2 * (score_error + 4 * unit_roundoff) + (z.chunk_size + 4) * unit_roundoff;
}

void compare(const Sizes& z, std::uint64_t seed) {
  const Inputs in = make_inputs(z, seed);
  const ChunkAttentionTwin twin = chunk_attention_twin(z, in);
  const double output_error = probability_error(z, twin) + (z.chunk_size + z.top_k + 4) * unit_roundoff;
  // Two probabilities (that of a key and those in the mean gain), a dot product over D, then the sum itself.
  const double gain_error = 2 * probability_error(z, twin) + (z.head_dim + z.chunk_size + 8) * unit_roundoff;
  const std::int64_t rows = z.heads / z.kv_heads * z.positions;
  const double query_error = gain_error + (z.chunk_size + z.top_k + 4) * unit_roundoff;
  const double chunk_error = gain_error + static_cast<double>(rows * z.chunks * z.top_k + 4) * unit_roundoff;
  for (const SimdLevel level : supported_simd_levels()) {
    SCOPED_TRACE(describe(z) + simd_level_name(level));
    Call call = make_call(z, in);
    run_forward(call, level);
    expect_within(call.output, twin.output, output_error, "output");
    if (z.positions == 1) {
      Call decoding = make_call(z, in);
      run_decode(decoding, level, 1);
      expect_within(decoding.output, twin.output, output_error, "decoded output");
      Call together = make_call(z, in);
      run_decode(together, level, 5);
      EXPECT_EQ(decoding.output, together.output);
    }
    run_backward_by_heads(call, level);
    expect_within(call.grad_query, twin.grad_query, query_error, "grad_query");
    expect_within(call.grad_weights, twin.grad_weights, gain_error + static_cast<double>(rows) * unit_roundoff,
                  "grad_weights");
    expect_within(call.grad_key, twin.grad_key, chunk_error, "grad_key");
    expect_within(call.grad_value, twin.grad_value, chunk_error, "grad_value");

    Call other = make_call(z, in);
    run_backward_in_two_passes(other, level);
    EXPECT_EQ(call.grad_query, other.grad_query);
    EXPECT_EQ(call.grad_weights, other.grad_weights);
    EXPECT_EQ(call.grad_key, other.grad_key);
    EXPECT_EQ(call.grad_value, other.grad_value);
  }
}

TEST(ChunkAttentionKernel, EveryTailOfRowsKeysAndHeadDims) {
  for (std::int64_t size = 1; size <= 20; ++size) {
    compare({1, 2, size, 1, 1, 16, 3, 21 - size, 2, size % 2 == 0}, size);
  }
  for (std::int64_t head_dim = 16; head_dim <= 256; head_dim += 8) {
    compare({1, 2, 7, 2, 2, head_dim, 3, 9, 2, head_dim % 16 == 0}, head_dim);
  }
}

TEST(ChunkAttentionKernel, ShapesOfModels) {
  compare({1, 3, 64, 2, 2, 64, 4, 63, 8, false}, 1);   // the paper's, fewer heads and chunks
  compare({2, 5, 32, 4, 4, 16, 5, 31, 4, true}, 2);    // the demo's
  compare({1, 2, 40, 8, 2, 32, 3, 17, 3, false}, 3);   // several blocks of rows a key head, and a last smaller one
  compare({1, 2, 70, 3, 1, 128, 3, 150, 2, true}, 4);  // wide heads, long chunks
  compare({2, 1, 1, 4, 4, 64, 50, 64, 8, false}, 5);   // decoding
  compare({2, 1, 1, 12, 2, 64, 50, 63, 8, true}, 6);   // decoding, grouped-query
  compare({1, 1, 1, 1, 1, 16, 1, 1, 1, true}, 7);      // everything one
}

// What keys and values of another type hold: their elements, the int8 scales [N, E, S, Hkv], and all of it as floats.
struct Compressed {
  std::vector<std::uint16_t> halves;
  std::vector<std::int8_t> bytes;
  std::vector<float> scales, floats;
  const void* data() const { return bytes.empty() ? static_cast<const void*>(halves.data()) : bytes.data(); }
};

Compressed compress(const std::vector<float>& values, ElementType type, std::int64_t head_dim) {
  Compressed result;
  result.floats.resize(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (type == ElementType::int8) {
      if (i % head_dim == 0) result.scales.push_back(0.01F + 0.001F * static_cast<float>(i / head_dim % 7));
      result.bytes.push_back(static_cast<std::int8_t>(std::clamp(values[i] * 50, -127.0F, 127.0F)));
      result.floats[i] = static_cast<float>(result.bytes[i]) * result.scales.back();
    } else if (type == ElementType::bfloat16) {
      const auto bits = std::bit_cast<std::uint32_t>(values[i]) & 0xffff0000U;
      result.halves.push_back(static_cast<std::uint16_t>(bits >> 16));
      result.floats[i] = std::bit_cast<float>(bits);
    } else {
      // Any bits but infinity and NaN, of about the values' size; some subnormal.
      const auto bits = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(values[i]) >> 7);
      const unsigned exponent = i % 16 == 0 ? 0 : 12 + i % 4;
      result.halves.push_back(static_cast<std::uint16_t>((bits & 0x83ff) | exponent << 10));
      result.floats[i] = HalfNumbers<cuda::Float16>::to_float(result.halves[i]);
    }
  }
  return result;
}

// Forward of compressed keys and values is that of the floats that they stand for.
void compare_compressed(const Sizes& z, ElementType type) {
  Inputs in = make_inputs(z, 3);
  const Compressed key = compress(in.key, type, z.head_dim);
  const Compressed value = compress(in.value, type, z.head_dim);
  in.key = key.floats;
  in.value = value.floats;
  const ChunkAttentionTwin twin = chunk_attention_twin(z, in);
  for (const SimdLevel level : supported_simd_levels()) {
    SCOPED_TRACE(describe(z) + simd_level_name(level));
    Call call = make_call(z, in);
    call.params.key.type = call.params.value.type = type;
    call.params.key.data = key.data();
    call.params.value.data = value.data();
    call.params.key.scales = key.scales.data();
    call.params.value.scales = value.scales.data();
    const double error = probability_error(z, twin) + (z.chunk_size + z.top_k + 8) * unit_roundoff;
    run_forward(call, level);
    expect_within(call.output, twin.output, error, "output");
    if (z.positions == 1) {
      std::ranges::fill(call.output, NAN);
      run_decode(call, level, 4);
      expect_within(call.output, twin.output, error, "decoded output");
    }
  }
}

TEST(ChunkAttentionKernel, CompressedKeysAndValues) {
  for (const ElementType type : {ElementType::bfloat16, ElementType::float16, ElementType::int8}) {
    compare_compressed({2, 3, 17, 4, 2, 40, 3, 13, 2, true}, type);
    compare_compressed({2, 2, 1, 6, 3, 64, 9, 21, 3, false}, type);  // decoding
  }
}

TEST(ChunkAttentionKernel, EveryFloat16IsReadExactly) {
  // The softmax of one key is 1, so the output is the value.
  const Sizes z{1, 4096, 1, 1, 1, 16, 4096, 1, 1, false};
  Inputs in = make_inputs(z, 4);
  std::vector<std::uint16_t> halves(in.value.size());
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
  const std::vector<std::uint16_t> zeros(halves.size());
  for (std::size_t c = 0; c < in.indices.size(); ++c) in.indices[c] = static_cast<std::int64_t>(c);
  std::ranges::fill(in.weights, 1.0F);
  for (const SimdLevel level : supported_simd_levels()) {
    Call call = make_call(z, in);
    call.params.key.type = call.params.value.type = ElementType::float16;
    call.params.key.data = zeros.data();
    call.params.value.data = halves.data();
    run_decode(call, level, 3);
    for (std::size_t i = 0; i < halves.size(); ++i) {
      if ((i & 0x7c00) != 0x7c00) {
        ASSERT_EQ(call.output[i], HalfNumbers<cuda::Float16>::to_float(halves[i])) << i;
      } else if ((i & 0x3ff) == 0) {
        ASSERT_TRUE(std::isinf(call.output[i])) << i;
      } else {
        ASSERT_TRUE(std::isnan(call.output[i])) << i;
      }
    }
  }
}

TEST(ChunkAttentionKernel, RandomShapes) {
  for (std::uint64_t seed = 100; seed < 160; ++seed) compare(random_chunk_attention_sizes(seed), seed);
}

TEST(ChunkAttentionKernel, HugeScoresStayFinite) {
  const Sizes z{1, 1, 9, 1, 1, 16, 1, 11, 1, false};
  Inputs in = make_inputs(z, 1);
  in.indices = {0};
  for (float& value : in.query) value *= 1e4F;
  for (const bool plus_one : {false, true}) {
    for (const SimdLevel level : supported_simd_levels()) {
      Call call = make_call(z, in);
      call.params.softmax_plus_one = plus_one;
      run_forward(call, level);
      run_backward_by_heads(call, level);
      for (const float value : call.output) ASSERT_TRUE(std::isfinite(value));
      for (const float value : call.grad_query) ASSERT_TRUE(std::isfinite(value));
    }
  }
}

TEST(ChunkAttentionKernel, NanInAQueryReachesItsOutput) {
  const Sizes z{1, 1, 9, 1, 1, 16, 1, 11, 1, false};
  Inputs in = make_inputs(z, 1);
  in.indices = {0};
  in.weights = {1};
  in.query[3 * z.head_dim] = NAN;
  for (const SimdLevel level : supported_simd_levels()) {
    Call call = make_call(z, in);
    run_forward(call, level);
    EXPECT_TRUE(std::isnan(call.output[3 * z.head_dim]));
    EXPECT_FALSE(std::isnan(call.output[4 * z.head_dim]));
  }
}

TEST(ChunkReaders, ListsReadsByStoredChunk) {
  const std::vector<std::int64_t> indices = {2, -1, 0, 2, /* the second sequence */ 1, 1, -1, 0};
  std::vector<std::int64_t> offsets(7);
  std::vector<std::int64_t> reads(8, -7);
  list_chunk_readers(indices.data(), 2, 4, 3, offsets.data(), reads.data());
  EXPECT_EQ(offsets, (std::vector<std::int64_t>{0, 1, 1, 3, 4, 6, 6}));
  reads.resize(6);
  EXPECT_EQ(reads, (std::vector<std::int64_t>{2, 0, 3, 3, 0, 1}));
}

}  // namespace
}  // namespace lookback
