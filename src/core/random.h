// A small random generator whose draws are the same on every platform and standard library, and whose state
// fits in one string (checkpoints). PCG-XSH-RR 64/32, O'Neill 2014.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace lookback {

class Random {
 public:
  explicit Random(std::uint64_t seed, std::uint64_t stream = 0);

  std::uint32_t next_u32();
  std::uint64_t next_u64();
  // Uniform in [0, 1).
  double uniform();
  // Uniform in [0, bound); bound >= 1. Unbiased (Lemire 2019).
  std::uint64_t below(std::uint64_t bound);
  // Standard normal (Box-Muller, one of the pair).
  double normal();

  template <typename Container>
  void shuffle(Container& values) {
    for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[below(i)]);
  }

  // The whole state as text, and back. Throws Error if the text is not one of ours.
  std::string state() const;
  static Random from_state(const std::string& state);

 private:
  std::uint64_t state_;
  std::uint64_t increment_;
};

}  // namespace lookback
