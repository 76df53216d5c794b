// Between tensors of chunks and the kernels that read them.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "kernels/chunk_attention_params.h"
#include "kernels/chunk_readers.h"

namespace lookback {

// Of a tensor [N, C, P, H, D] whose rows are contiguous.
inline QueryRows query_rows(const at::Tensor& query) {
  return {query.const_data_ptr<float>(), query.stride(0), query.stride(1), query.stride(2), query.stride(3)};
}

inline ElementType element_type(at::ScalarType type) {
  switch (type) {
    case at::kBFloat16:
      return ElementType::bfloat16;
    case at::kHalf:
      return ElementType::float16;
    case at::kChar:
      return ElementType::int8;
    default:
      return ElementType::float32;
  }
}

// scales: undefined where the elements need none.
inline ChunkRows chunk_rows(const at::Tensor& chunks, const at::Tensor& scales) {
  return {.data = chunks.const_data_ptr(),
          .batch_stride = chunks.stride(0),
          .chunk_stride = chunks.stride(1),
          .row_stride = chunks.stride(2),
          .head_stride = chunks.stride(3),
          .type = element_type(chunks.scalar_type()),
          .scales = scales.defined() ? scales.const_data_ptr<float>() : nullptr};
}

// Of the two products of forward, for one of its items.
inline double item_flops(const ChunkAttentionParams& params) {
  const std::int64_t rows = params.num_heads / params.num_kv_heads * params.chunk_positions;
  return 4.0 * static_cast<double>(rows) * static_cast<double>(params.head_dim * params.chunk_size * params.top_k);
}

// The inverted index of some arguments.
class ChunkReadersList {
 public:
  explicit ChunkReadersList(const ChunkAttentionParams& params)
      : offsets_(params.batch_size * params.stored_chunks + 1),
        reads_(params.batch_size * params.num_chunks * params.top_k) {
    list_chunk_readers(params.indices, params.batch_size, params.num_chunks * params.top_k, params.stored_chunks,
                       offsets_.data(), reads_.data());
  }
  ChunkReaders readers() const { return {offsets_.data(), reads_.data()}; }

 private:
  std::vector<std::int64_t> offsets_, reads_;
};

}  // namespace lookback
