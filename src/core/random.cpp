#include "core/random.h"

#include <cmath>
#include <cstdio>
#include <numbers>

#include "core/error.h"

namespace lookback {

Random::Random(std::uint64_t seed, std::uint64_t stream) : state_(0), increment_((stream << 1U) | 1U) {
  next_u32();
  state_ += seed;
  next_u32();
}

std::uint32_t Random::next_u32() {
  const std::uint64_t old = state_;
  state_ = old * 6364136223846793005ULL + increment_;
  const auto xorshifted = static_cast<std::uint32_t>(((old >> 18U) ^ old) >> 27U);
  const auto rotation = static_cast<std::uint32_t>(old >> 59U);
  return (xorshifted >> rotation) | (xorshifted << ((32U - rotation) & 31U));
}

std::uint64_t Random::next_u64() {
  const std::uint64_t high = next_u32();
  return (high << 32U) | next_u32();
}

double Random::uniform() { return static_cast<double>(next_u64() >> 11U) * 0x1.0p-53; }

std::uint64_t Random::below(std::uint64_t bound) {
  using Wide = unsigned __int128;
  Wide product = static_cast<Wide>(next_u64()) * bound;
  auto low = static_cast<std::uint64_t>(product);
  if (low < bound) {
    const std::uint64_t threshold = (0 - bound) % bound;
    while (low < threshold) {
      product = static_cast<Wide>(next_u64()) * bound;
      low = static_cast<std::uint64_t>(product);
    }
  }
  return static_cast<std::uint64_t>(product >> 64U);
}

double Random::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

std::string Random::state() const {
  return fmt::format("pcg32:{:016x}:{:016x}", state_, increment_);
}

Random Random::from_state(const std::string& state) {
  Random random(0);
  unsigned long long first = 0;
  unsigned long long second = 0;
  if (state.size() != 39 || std::sscanf(state.c_str(), "pcg32:%16llx:%16llx", &first, &second) != 2) {
    fail("not a random generator's state: \"{}\"", state);
  }
  random.state_ = first;
  random.increment_ = second;
  return random;
}

}  // namespace lookback
