// Which of a kernel's compiled variants this processor can run.
#pragma once

#include <vector>

namespace lookback {

enum class SimdLevel { portable, avx2, avx512 };

// From portable to the widest; avx2 means AVX2 with FMA, avx512 means F, VL, BW and DQ. Processors other than x86-64's
// have the portable level alone.
std::vector<SimdLevel> supported_simd_levels();

// The widest of them.
SimdLevel best_simd_level();

// Whether AMD made this processor: libraries of other makers may not use all that it has.
bool is_amd_processor();

const char* simd_level_name(SimdLevel level);

}  // namespace lookback
