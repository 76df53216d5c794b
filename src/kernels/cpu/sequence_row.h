// A row of a sequence.
#pragma once

#include "kernels/sequence_rows.h"

namespace lookback::simd {

[[gnu::always_inline]] inline const float* sequence_row(const SequenceRows& rows, std::int64_t batch, std::int64_t row,
                                                        std::int64_t head) {
  return rows.data + batch * rows.batch_stride + row * rows.row_stride + head * rows.head_stride;
}

}  // namespace lookback::simd
