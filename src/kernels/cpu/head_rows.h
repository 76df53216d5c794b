// Where the rows of keys or values of any element type lie.
#pragma once

#include "kernels/cpu/elements.h"

namespace lookback::simd {

// Rows of keys or values; row r of head h begins at data + r * row_stride + h * head_stride.
template <ElementType Type>
struct HeadRows {
  const typename Element<Type>::Stored* data;
  std::int64_t row_stride, head_stride;
  const float* scales;  // int8: scales[r * scale_stride + h]
  std::int64_t scale_stride;

  [[gnu::always_inline]] float scale(std::int64_t row, std::int64_t head) const {
    return Type == ElementType::int8 ? scales[row * scale_stride + head] : 1.0F;
  }
};

}  // namespace lookback::simd
