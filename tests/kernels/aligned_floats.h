// Scratch for kernels: floats on a cache line.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>

namespace lookback {

struct FreeMemory {
  void operator()(float* memory) const { std::free(memory); }
};

inline std::unique_ptr<float, FreeMemory> aligned_floats(std::int64_t count) {
  constexpr std::size_t line_bytes = 64;
  const std::size_t bytes =
      (static_cast<std::size_t>(count) * sizeof(float) + line_bytes - 1) / line_bytes * line_bytes;
  return std::unique_ptr<float, FreeMemory>(static_cast<float*>(std::aligned_alloc(line_bytes, bytes)));
}

}  // namespace lookback
