// What the states of batch sources have in common: they belong to the data and options they were made with.
#pragma once

#include <string>

#include "core/error.h"
#include "core/json.h"

namespace lookback {

// Throws Error unless state[key] is `here`.
template <typename T>
void check_same_state(const Json& state, const std::string& key, const T& here) {
  const std::string source = "state of the training data";
  const T saved = json_field<T>(state, key, source);
  require(saved == here, "{}: {} was {}, but is {} now: go on with the data and options of before", source, key, saved,
          here);
}

}  // namespace lookback
