// The SIMD levels of x86-64's processors.
#include "kernels/cpu/kernel_table.h"

namespace lookback {

std::vector<SimdLevel> supported_simd_levels() {
  std::vector<SimdLevel> levels = {SimdLevel::portable};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) levels.push_back(SimdLevel::avx2);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq")) {
    levels.push_back(SimdLevel::avx512);
  }
  return levels;
}

bool is_amd_processor() { return __builtin_cpu_is("amd") != 0; }

namespace simd {

const KernelTable& kernels_of(SimdLevel level) {
  switch (level) {
    case SimdLevel::avx512:
      return avx512_kernels;
    case SimdLevel::avx2:
      return avx2_kernels;
    case SimdLevel::portable:
      break;
  }
  return portable_kernels;
}

}  // namespace simd
}  // namespace lookback
