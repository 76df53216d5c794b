#include "kernels/rotary.h"

#include "kernels/cpu/kernel_table.h"

namespace lookback {

void rotary_rows(const RotaryParams& params, std::int64_t first, std::int64_t last, SimdLevel level) {
  simd::kernels_of(level).rotary_rows(params, first, last);
}

}  // namespace lookback
