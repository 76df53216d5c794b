#include "kernels/simd_level.h"

namespace lookback {

SimdLevel best_simd_level() {
  static const SimdLevel best = supported_simd_levels().back();
  return best;
}

const char* simd_level_name(SimdLevel level) {
  switch (level) {
    case SimdLevel::avx512:
      return "avx512";
    case SimdLevel::avx2:
      return "avx2";
    case SimdLevel::portable:
      break;
  }
  return "portable";
}

}  // namespace lookback
