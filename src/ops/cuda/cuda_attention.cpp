#include "ops/cuda_attention.h"

#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <cmath>
#include <limits>

#include "kernels/cuda/attention.h"
#include "ops/composed_operators.h"
#include "ops/cuda/cuda_calls.h"

namespace lookback {
namespace {

// A size or a product of sizes.
int to_int(std::int64_t size, const char* name) {
  require(size <= std::numeric_limits<int>::max(), "{}: the GPU's kernels take sizes below 2^31, found {}", name, size);
  return static_cast<int>(size);
}

// The tensor itself where each row begins at 16 bytes, as the kernels' copies want it, else a contiguous copy.
at::Tensor with_aligned_rows(const at::Tensor& tensor) {
  bool aligned = tensor.stride(-1) == 1 && reinterpret_cast<std::uintptr_t>(tensor.const_data_ptr()) % 16 == 0;
  for (std::int64_t d = 0; d + 1 < tensor.dim(); ++d) aligned = aligned && tensor.stride(d) % 8 == 0;
  return aligned ? tensor : tensor.clone(at::MemoryFormat::Contiguous);
}

const std::uint16_t* bits(const at::Tensor& tensor) {
  return static_cast<const std::uint16_t*>(tensor.const_data_ptr());
}

// [N, groups, rows, heads, D]
cuda::Rows chunk_rows(const at::Tensor& rows) {
  return {bits(rows), rows.stride(0), rows.stride(1), rows.stride(2), rows.stride(3)};
}

// [N, rows, heads, D]
cuda::Rows window_rows(const at::Tensor& rows) {
  return {bits(rows), rows.stride(0), 0, rows.stride(1), rows.stride(2)};
}

// The operator's arguments as the kernels want them.
struct ChunkArguments {
  at::Tensor query, key, value, indices, weights;
  double softmax_scale;
  bool softmax_plus_one;

  cuda::ChunkAttentionParams params() const {
    to_int(indices.size(1) * indices.size(2), "indices");
    return {.batch_size = to_int(query.size(0), "query"),
            .num_chunks = to_int(query.size(1), "query"),
            .chunk_positions = to_int(query.size(2), "query"),
            .num_heads = to_int(query.size(3), "query"),
            .num_kv_heads = to_int(key.size(3), "key"),
            .head_dim = to_int(query.size(4), "query"),
            .stored_chunks = to_int(key.size(1), "key"),
            .chunk_size = to_int(key.size(2), "key"),
            .top_k = to_int(indices.size(2), "indices"),
            .softmax_scale = static_cast<float>(softmax_scale),
            .softmax_plus_one = softmax_plus_one,
            .query = chunk_rows(query),
            .key = chunk_rows(key),
            .value = chunk_rows(value),
            .indices = indices.const_data_ptr<std::int64_t>(),
            .weights = weights.const_data_ptr<float>()};
  }
};

ChunkArguments chunk_arguments(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                               const at::Tensor& indices, const at::Tensor& weights, double softmax_scale,
                               bool softmax_plus_one) {
  return {with_aligned_rows(query),
          with_aligned_rows(key),
          with_aligned_rows(value),
          indices.contiguous(),
          weights.to(at::kFloat).contiguous(),
          softmax_scale,
          softmax_plus_one};
}

// The inverted index of indices [N, C, K]: offsets [N E + 1] and reads [N C K], as ChunkReaders has them.
struct Readers {
  at::Tensor offsets, reads;
};

Readers list_readers(const at::Tensor& indices, std::int64_t stored_chunks) {
  const std::int64_t num_stored = indices.size(0) * stored_chunks;
  const std::int64_t reads_each = indices.size(1) * indices.size(2);
  const at::Tensor first_of_sequence =
      at::arange(indices.size(0), indices.options()).mul_(stored_chunks).view({-1, 1, 1});
  // What reads nothing comes last.
  const at::Tensor stored = at::where(indices.ge(0), indices + first_of_sequence, num_stored).flatten();
  // Stable: the reads of a chunk in ascending order, so that its sums have one order.
  const auto [sorted, order] = stored.sort(/*stable=*/true, /*dim=*/0, /*descending=*/false);
  return {at::searchsorted(sorted, at::arange(num_stored + 1, indices.options())), order.remainder(reads_each)};
}

cuda::SlidingWindowParams window_params(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                        const SlidingWindowForward& forward, std::int64_t window_size,
                                        PositionBias position_bias) {
  return {.batch_size = to_int(query.size(0), "query"),
          .num_queries = to_int(query.size(1), "query"),
          .num_past = to_int(key.size(1) - query.size(1), "key"),
          .num_heads = to_int(query.size(2), "query"),
          .num_kv_heads = to_int(key.size(2), "key"),
          .head_dim = to_int(query.size(3), "query"),
          .window_size = to_int(std::min(window_size, key.size(1)), "window_size"),
          .position_bias = position_bias,
          .softmax_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(query.size(3)))),
          .query = window_rows(query),
          .key = window_rows(key),
          .value = window_rows(value),
          .output = mutable_bits(forward.output),
          .softmax_lse = forward.softmax_lse.mutable_data_ptr<float>()};
}

}  // namespace

bool has_cuda_kernel(const at::Tensor& query) {
  const std::int64_t head_dim = query.size(-1);
  if (!query.is_cuda() || !is_half(query) || query.numel() == 0 || head_dim % 8 != 0 ||
      head_dim > cuda::largest_head_dim || ComposedOperators::active()) {
    return false;
  }
  const cudaDeviceProp* const device = at::cuda::getDeviceProperties(query.get_device());
  return device->major >= 8 && static_cast<std::size_t>(cuda::shared_bytes_needed(static_cast<int>(head_dim))) <=
                                   device->sharedMemPerBlockOptin;
}

at::Tensor cuda_chunk_attention_forward(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                        const at::Tensor& indices, const at::Tensor& weights, double softmax_scale,
                                        bool softmax_plus_one) {
  const c10::cuda::CUDAGuard device(query.device());
  const ChunkArguments arguments =
      chunk_arguments(query, key, value, indices, weights, softmax_scale, softmax_plus_one);
  at::Tensor output = at::empty(query.sizes(), query.options());
  cuda::ChunkAttentionParams params = arguments.params();
  params.output = mutable_bits(output);
  require_started(chunk_attention_forward(params, half_type(query), c10::cuda::getCurrentCUDAStream()),
                  "chunk attention");
  return output;
}

ChunkAttentionGrads cuda_chunk_attention_backward(const at::Tensor& grad_output, const at::Tensor& query,
                                                  const at::Tensor& key, const at::Tensor& value,
                                                  const at::Tensor& indices, const at::Tensor& weights,
                                                  double softmax_scale, bool softmax_plus_one, bool chunks) {
  const c10::cuda::CUDAGuard device(query.device());
  const ChunkArguments arguments =
      chunk_arguments(query, key, value, indices, weights, softmax_scale, softmax_plus_one);
  const cuda::ChunkAttentionParams params = arguments.params();
  const at::Tensor grad_rows = with_aligned_rows(grad_output);
  const at::TensorOptions numbers = query.options().dtype(at::kFloat);
  const at::Tensor statistics =
      at::empty({indices.numel(), query.size(3), query.size(2), sizeof(cuda::RowStatistics) / sizeof(float)}, numbers);
  const at::Tensor grad_weights = at::zeros({indices.numel(), key.size(3), query_tiles(params)}, numbers);
  ChunkAttentionGrads grads;
  grads.query = at::empty(query.sizes(), query.options());
  cuda::ChunkAttentionGradients gradients{
      .grad_output = chunk_rows(grad_rows),
      .statistics = reinterpret_cast<cuda::RowStatistics*>(statistics.mutable_data_ptr<float>()),
      .grad_query = mutable_bits(grads.query),
      .grad_weights = grad_weights.mutable_data_ptr<float>()};
  const cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
  require_started(chunk_attention_backward_queries(params, gradients, half_type(query), stream),
                  "chunk attention's backward of queries");
  grads.weights = grad_weights.sum({1, 2}).view(weights.sizes()).to(weights.scalar_type());
  if (!chunks) return grads;
  const Readers readers = list_readers(arguments.indices, key.size(1));
  grads.key = at::empty(key.sizes(), key.options());
  grads.value = at::empty(value.sizes(), value.options());
  gradients.grad_key = mutable_bits(grads.key);
  gradients.grad_value = mutable_bits(grads.value);
  gradients.read_offsets = readers.offsets.const_data_ptr<std::int64_t>();
  gradients.reads = readers.reads.const_data_ptr<std::int64_t>();
  require_started(chunk_attention_backward_chunks(params, gradients, half_type(query), stream),
                  "chunk attention's backward of chunks");
  return grads;
}

SlidingWindowForward cuda_sliding_window_forward(const at::Tensor& query, const at::Tensor& key,
                                                 const at::Tensor& value, std::int64_t window_size,
                                                 PositionBias position_bias) {
  const c10::cuda::CUDAGuard device(query.device());
  SlidingWindowForward result{
      at::empty(query.sizes(), query.options()),
      at::empty({query.size(0), query.size(2), query.size(1)}, query.options().dtype(at::kFloat))};
  const at::Tensor rows = with_aligned_rows(query);
  const at::Tensor key_rows = with_aligned_rows(key);
  const at::Tensor value_rows = with_aligned_rows(value);
  require_started(sliding_window_forward(window_params(rows, key_rows, value_rows, result, window_size, position_bias),
                                         half_type(query), c10::cuda::getCurrentCUDAStream()),
                  "sliding-window attention");
  return result;
}

SlidingWindowGrads cuda_sliding_window_backward(const at::Tensor& grad_output, const at::Tensor& query,
                                                const at::Tensor& key, const at::Tensor& value,
                                                const SlidingWindowForward& forward, std::int64_t window_size,
                                                PositionBias position_bias, bool keys) {
  const c10::cuda::CUDAGuard device(query.device());
  const at::Tensor rows = with_aligned_rows(query);
  const at::Tensor key_rows = with_aligned_rows(key);
  const at::Tensor value_rows = with_aligned_rows(value);
  const at::Tensor grad_rows = with_aligned_rows(grad_output);
  const at::Tensor mean_gain = at::empty_like(forward.softmax_lse);
  const cuda::SlidingWindowParams params =
      window_params(rows, key_rows, value_rows, forward, window_size, position_bias);
  SlidingWindowGrads grads;
  grads.query = at::empty(query.sizes(), query.options());
  cuda::SlidingWindowGradients gradients{.grad_output = window_rows(grad_rows),
                                         .mean_gain = mean_gain.mutable_data_ptr<float>(),
                                         .grad_query = mutable_bits(grads.query)};
  const cudaStream_t stream = c10::cuda::getCurrentCUDAStream();
  require_started(sliding_window_backward_queries(params, gradients, half_type(query), stream),
                  "sliding-window attention's backward of queries");
  if (!keys) return grads;
  grads.key = at::empty(key.sizes(), key.options());
  grads.value = at::empty(value.sizes(), value.options());
  gradients.grad_key = mutable_bits(grads.key);
  gradients.grad_value = mutable_bits(grads.value);
  require_started(sliding_window_backward_keys(params, gradients, half_type(query), stream),
                  "sliding-window attention's backward of keys");
  return grads;
}

}  // namespace lookback
