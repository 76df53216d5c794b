// How often tests kill what they test.
#pragma once

#include <cstdlib>
#include <optional>
#include <string>

namespace lookback {

// What the environment asks for (LOOKBACK_TEST_KILLS), for a long check by hand; nothing: as many as the test does
// itself.
inline std::optional<int> number_of_kills() {
  const char* const asked = std::getenv("LOOKBACK_TEST_KILLS");
  return asked == nullptr ? std::nullopt : std::optional(std::stoi(asked));
}

}  // namespace lookback
