#include "core/random.h"

#include <charconv>
#include <cmath>
#include <numbers>
#include <string_view>

#include "core/error.h"

namespace lookback {
namespace {

constexpr std::string_view state_prefix = "pcg32:";
constexpr std::size_t word_digits = 16;

// The number that exactly these hex digits stand for.
bool parse_word(std::string_view digits, std::uint64_t& value) {
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  return code == std::errc() && end == digits.data() + digits.size();
}

}  // namespace

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

std::string Random::state() const { return fmt::format("{}{:016x}:{:016x}", state_prefix, state_, increment_); }

Random Random::from_state(const std::string& state) {
  Random random(0);
  const std::string_view text = state;
  const std::size_t second = state_prefix.size() + word_digits + 1;
  // An even increment is no PCG stream: it would halve the period.
  if (text.size() != second + word_digits || !text.starts_with(state_prefix) || text[second - 1] != ':' ||
      !parse_word(text.substr(state_prefix.size(), word_digits), random.state_) ||
      !parse_word(text.substr(second), random.increment_) || random.increment_ % 2 == 0) {
    fail("not a random generator's state: \"{}\"", state);
  }
  return random;
}

}  // namespace lookback
