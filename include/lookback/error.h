// What the library throws.
#pragma once

#include <stdexcept>

#include "lookback/export.h"

namespace lookback {

// The one exception type. Its message is for a person: which file or argument, what was found, what was expected, what
// to do.
class LOOKBACK_API Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Thrown where somebody asked that work be stopped: nothing is wrong, and what was there before is as it was.
class LOOKBACK_API Interrupted : public Error {
 public:
  Interrupted() : Error("interrupted") {}
};

}  // namespace lookback
