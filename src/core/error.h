// Throwing the one exception type (lookback/error.h), with formatted messages.
#pragma once

#include <fmt/core.h>

#include <utility>

#include "lookback/error.h"

namespace lookback {

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
