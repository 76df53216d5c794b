// Inputs of the kernels' tests.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace lookback {

inline std::vector<float> normal_numbers(std::mt19937_64& random, std::int64_t count, float deviation = 1) {
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

}  // namespace lookback
