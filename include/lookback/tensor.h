// Tensors at the library's border: plain memory that somebody else owns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace lookback {

enum class DataType { float32, bfloat16, int64 };

// Elements in the CPU's memory. Whoever hands out a view says how long the memory stays.
struct TensorView {
  const void* data = nullptr;
  DataType type = DataType::float32;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;  // in elements, one a dimension
};

// A row-major view of values that fill `shape`.
inline TensorView view_rows(const void* data, DataType type, std::vector<std::int64_t> shape) {
  std::vector<std::int64_t> strides(shape.size(), 1);
  for (std::size_t i = shape.size(); i > 1; --i) strides[i - 2] = strides[i - 1] * shape[i - 1];
  return {data, type, std::move(shape), std::move(strides)};
}

// One row of token ids [1, L].
inline TensorView view_ids(std::span<const std::int64_t> ids) {
  return view_rows(ids.data(), DataType::int64, {1, static_cast<std::int64_t>(ids.size())});
}

}  // namespace lookback
