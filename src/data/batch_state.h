// What the states of batch sources have in common: they belong to the data and options they were made with.
#pragma once

#include <cstdint>
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

// How many batches a source has given whose batches follow from their number. Throws Error for what is no number.
inline std::int64_t batch_count_of(const Json& state) {
  const std::string source = "state of the training data";
  const auto num_batches = json_field<std::int64_t>(state, "num_batches", source);
  require(num_batches >= 0, "{}: num_batches is {}", source, num_batches);
  return num_batches;
}

}  // namespace lookback
