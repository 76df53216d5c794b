// The GPU kernels of chunk attention in an emulated block of threads, against the float64 twin.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <stdexcept>

#include "kernels/chunk_attention_twin.h"
#include "kernels/chunk_readers.h"
#include "kernels/cuda/chunk_attention_backward.h"
#include "kernels/cuda/chunk_attention_forward.h"
#include "kernels/emulated_attention.h"

namespace lookback {
namespace {

using Sizes = ChunkAttentionSizes;
using Inputs = ChunkAttentionInputs;

// The tensors of a call; inputs are rounded to Half.
template <class Half>
struct Call {
  Inputs in;
  HalfArray query, key, value, grad_output;
  HalfArray output, grad_query, grad_key, grad_value;
  std::vector<float> tile_grad_weights;
  std::vector<cuda::RowStatistics> statistics;
  std::vector<std::int64_t> read_offsets, reads;
  cuda::ChunkAttentionParams params;
  cuda::ChunkAttentionGradients gradients;

  Call(const Sizes& z, Inputs inputs)
      : in(std::move(inputs)),
        query(round_to_half<Half>(in.query)),
        key(round_to_half<Half>(in.key)),
        value(round_to_half<Half>(in.value)),
        grad_output(round_to_half<Half>(in.grad_output)),
        output(unwritten(query.size())),
        grad_query(unwritten(query.size())),
        grad_key(unwritten(key.size())),
        grad_value(unwritten(key.size())),
        statistics(in.weights.size() * z.heads * z.positions, {NAN, NAN}),
        read_offsets(z.batch * z.stored + 1),
        reads(in.indices.size()) {
    list_chunk_readers(in.indices.data(), z.batch, z.chunks * z.top_k, z.stored, read_offsets.data(), reads.data());
    const auto rows = [&](const HalfArray& data, std::int64_t groups, std::int64_t length, std::int64_t heads) {
      const std::int64_t row = heads * z.head_dim;
      return cuda::Rows{data.data(), groups * length * row, length * row, row, z.head_dim};
    };
    params = {.batch_size = static_cast<int>(z.batch),
              .num_chunks = static_cast<int>(z.chunks),
              .chunk_positions = static_cast<int>(z.positions),
              .num_heads = static_cast<int>(z.heads),
              .num_kv_heads = static_cast<int>(z.kv_heads),
              .head_dim = static_cast<int>(z.head_dim),
              .stored_chunks = static_cast<int>(z.stored),
              .chunk_size = static_cast<int>(z.chunk_size),
              .top_k = static_cast<int>(z.top_k),
              .softmax_scale = static_cast<float>(in.softmax_scale),
              .softmax_plus_one = z.plus_one,
              .query = rows(query, z.chunks, z.positions, z.heads),
              .key = rows(key, z.stored, z.chunk_size, z.kv_heads),
              .value = rows(value, z.stored, z.chunk_size, z.kv_heads),
              .indices = in.indices.data(),
              .weights = in.weights.data(),
              .output = output.data()};
    tile_grad_weights.resize(in.weights.size() * z.kv_heads * query_tiles(params));
    gradients = {.grad_output = rows(grad_output, z.chunks, z.positions, z.heads),
                 .statistics = statistics.data(),
                 .grad_query = grad_query.data(),
                 .grad_key = grad_key.data(),
                 .grad_value = grad_value.data(),
                 .grad_weights = tile_grad_weights.data(),
                 .read_offsets = read_offsets.data(),
                 .reads = reads.data()};
  }

  // [N, C, K, Hkv], as the twin has it.
  std::vector<float> grad_weights() const {
    const int num_tiles = query_tiles(params);
    std::vector<float> sums(tile_grad_weights.size() / num_tiles);
    for (std::size_t i = 0; i < tile_grad_weights.size(); ++i) sums[i / num_tiles] += tile_grad_weights[i];
    return sums;
  }
};

template <class Half, int Dim>
void run(Call<Half>& call, TurnOrder order) {
  run_emulated<cuda::ChunkAttentionForwardKernel<Half, Dim>>(query_items(call.params), order, call.params);
  run_emulated<cuda::ChunkAttentionBackwardQueriesKernel<Half, Dim>>(query_items(call.params), order, call.params,
                                                                     call.gradients);
  run_emulated<cuda::ChunkAttentionBackwardChunksKernel<Half, Dim>>(key_items(call.params), order, call.params,
                                                                    call.gradients);
}

// float32 inside, as for the CPU's kernels; then what is multiplied on tensor cores once more, and the results, are
// rounded to Half, with an error of at most half the smallest number where that is more.
template <class Half, int Dim>
void compare(const Sizes& z, std::uint64_t seed, TurnOrder order = TurnOrder::ascending) {
  SCOPED_TRACE(describe(z) + HalfNumbers<Half>::name);
  Call<Half> call(z, make_inputs(z, seed));
  const ChunkAttentionTwin twin = chunk_attention_twin(z, call.in);
  run<Half, Dim>(call, order);
  const double score_error = (z.head_dim + 4) * unit_roundoff * twin.largest_score_terms;
  const double probability_error = 2 * (score_error + 4 * unit_roundoff) + (z.chunk_size + 4) * unit_roundoff;
  const double gain_error = 2 * probability_error + (z.head_dim + z.chunk_size + 8) * unit_roundoff;
  const std::int64_t group = z.heads / z.kv_heads;
  const double num_rows = static_cast<double>(group * z.positions * z.chunks * z.top_k);
  const double query_terms = static_cast<double>(z.chunk_size * z.top_k);
  const double half_error = 2.01 * HalfNumbers<Half>::unit_roundoff;
  expect_within(floats_of<Half>(call.output), twin.output, half_error + gain_error + query_terms * unit_roundoff,
                "output", smallest_error<Half>(query_terms));
  expect_within(floats_of<Half>(call.grad_query), twin.grad_query,
                half_error + gain_error + query_terms * unit_roundoff, "grad_query", smallest_error<Half>(query_terms));
  expect_within(call.grad_weights(), twin.grad_weights, gain_error + num_rows * unit_roundoff, "grad_weights");
  expect_within(floats_of<Half>(call.grad_key), twin.grad_key, half_error + gain_error + num_rows * unit_roundoff,
                "grad_key", smallest_error<Half>(num_rows));
  expect_within(floats_of<Half>(call.grad_value), twin.grad_value, half_error + gain_error + num_rows * unit_roundoff,
                "grad_value", smallest_error<Half>(num_rows));
}

TEST(CudaChunkAttention, ShapesOfModels) {
  compare<cuda::Bfloat16, 64>({1, 1, 64, 1, 1, 64, 3, 63, 3, false}, 1);  // the paper's, one head and chunk
  compare<cuda::Bfloat16, 32>({2, 2, 32, 2, 2, 16, 3, 31, 2, true}, 2);   // the demo's
  compare<cuda::Float16, 64>({2, 1, 1, 6, 2, 64, 5, 64, 3, true}, 3);     // decoding, grouped-query
  compare<cuda::Float16, 32>({1, 1, 1, 1, 1, 16, 1, 1, 1, false}, 4);     // everything one
}

TEST(CudaChunkAttention, SeveralTilesOfQueriesAndKeys) {
  compare<cuda::Bfloat16, 32>({1, 2, 40, 4, 2, 24, 2, 65, 2, false}, 5);
  compare<cuda::Float16, 32>({1, 1, 70, 1, 1, 32, 2, 150, 3, true}, 6);
}

TEST(CudaChunkAttention, WideHeads) {
  compare<cuda::Float16, 64>({1, 1, 3, 2, 1, 40, 2, 9, 2, true}, 7);
  compare<cuda::Bfloat16, 128>({1, 1, 5, 1, 1, 72, 2, 17, 2, false}, 8);
  compare<cuda::Float16, 128>({1, 1, 5, 1, 1, 128, 2, 7, 2, false}, 9);
  compare<cuda::Bfloat16, 256>({1, 1, 5, 1, 1, 136, 2, 5, 2, true}, 10);
  compare<cuda::Float16, 256>({1, 1, 2, 1, 1, 256, 2, 70, 1, false}, 11);
}

TEST(CudaChunkAttention, RandomShapes) {
  for (std::uint64_t seed = 200; seed < 208; ++seed) {
    Sizes z = random_chunk_attention_sizes(seed);
    // As few blocks as show whatever depends on them.
    z.batch = std::min<std::int64_t>(z.batch, 2);
    z.chunks = std::min<std::int64_t>(z.chunks, 2);
    z.top_k = std::min<std::int64_t>(z.top_k, 3);
    z.stored = std::min<std::int64_t>(z.stored, 3);
    z.head_dim = std::min<std::int64_t>(z.head_dim, 32);
    if (seed % 2 == 0) {
      compare<cuda::Bfloat16, 32>(z, seed, TurnOrder::descending);
    } else {
      compare<cuda::Float16, 32>(z, seed, TurnOrder::descending);
    }
  }
}

TEST(CudaChunkAttention, NothingRetrieved) {
  const Sizes z{1, 2, 3, 1, 1, 16, 2, 5, 2, false};
  Inputs in = make_inputs(z, 12);
  std::ranges::fill(in.indices, -1);
  Call<cuda::Bfloat16> call(z, in);
  run<cuda::Bfloat16, 32>(call, TurnOrder::ascending);
  for (const HalfArray* zeros : {&call.output, &call.grad_query, &call.grad_key, &call.grad_value}) {
    for (std::size_t i = 0; i < zeros->size(); ++i) ASSERT_EQ(zeros->data()[i], 0) << i;
  }
}

// On a card this ends the kernel: nothing is read where no chunk is.
TEST(CudaChunkAttention, AnIndexOfNoStoredChunk) {
  const Sizes sizes{1, 1, 3, 1, 1, 32, 2, 5, 2, false};
  for (const std::int64_t index : {-2, 2}) {
    Inputs in = make_inputs(sizes, 15);
    in.indices = {0, 1};
    Call<cuda::Float16> call(sizes, in);
    call.in.indices[1] = index;
    EXPECT_THROW((run<cuda::Float16, 32>(call, TurnOrder::ascending)), std::logic_error) << index;
  }
}

}  // namespace
}  // namespace lookback
