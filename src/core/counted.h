// Numbers of things in messages.
#pragma once

#include <concepts>
#include <string>
#include <string_view>

namespace lookback {

// "1 document", "2 documents", "1.2K tokens": a number, however it is written, and what is counted, whose plural ends
// in s.
inline std::string counted(std::string_view number, std::string_view noun) {
  return std::string(number) + " " + std::string(noun) + (number == "1" ? "" : "s");
}

std::string counted(std::integral auto number, std::string_view noun) { return counted(std::to_string(number), noun); }

}  // namespace lookback
