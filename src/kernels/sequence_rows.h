// Where the rows of whole sequences lie.
#pragma once

#include <cstdint>

namespace lookback {

// Rows [N, T, heads, D]; strides in elements, that of D is 1.
struct SequenceRows {
  const float* data = nullptr;
  std::int64_t batch_stride = 0, row_stride = 0, head_stride = 0;
};

}  // namespace lookback
