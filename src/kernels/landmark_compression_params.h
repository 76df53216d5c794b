// The border between the search for landmarks and the kernel that puts them into 8 bits.
#pragma once

#include <cstdint>

namespace lookback {

// A landmark l of d numbers becomes l = s i + r with the scale s = max |l| / 127 and the integers i nearest to l / s.
// All contiguous.
struct LandmarkCompressionParams {
  std::int64_t size = 0;             // d
  const float* landmarks = nullptr;  // [E, d]
  std::int8_t* elements = nullptr;   // i [E, d], written
  float* scales = nullptr;           // s [E], written
  float* slack = nullptr;            // remainder_factor |r| + rounded_factor |s i| [E], written
  float remainder_factor = 1;
  float rounded_factor = 0;
};

}  // namespace lookback
