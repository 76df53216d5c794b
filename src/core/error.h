// The one exception type. Its message is for a person: which file or argument, what was found, what was
// expected, what to do.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace lookback {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Thrown where somebody asked that work be stopped: nothing is wrong, and what was there before is as it was.
class Interrupted : public Error {
 public:
  Interrupted() : Error("interrupted") {}
};

// Throws Error with a message formatted as by fmt::format.
template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

// Throws Error unless the condition holds: for checks at the door (arguments, files), never inside kernels.
template <typename... Args>
void require(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) throw Error(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace lookback
