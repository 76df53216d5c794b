// Processors other than x86-64's: the portable level alone. Its vectors are as wide as all of aarch64's have (NEON).
#include "kernels/cpu/kernel_table.h"

namespace lookback {

std::vector<SimdLevel> supported_simd_levels() { return {SimdLevel::portable}; }

bool is_amd_processor() { return false; }

namespace simd {

const KernelTable& kernels_of(SimdLevel /*level*/) { return portable_kernels; }

}  // namespace simd
}  // namespace lookback
