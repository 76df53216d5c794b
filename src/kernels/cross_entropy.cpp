#include "kernels/cross_entropy.h"

#include "kernels/cpu/kernel_table.h"

namespace lookback {

void cross_entropy_rows(const CrossEntropyParams& params, std::int64_t first, std::int64_t last, SimdLevel level) {
  simd::kernels_of(level).cross_entropy_rows(params, first, last);
}

}  // namespace lookback
