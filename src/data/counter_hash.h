// Numbers that follow from counters alone, so that what is drawn for one batch needs none of those before it.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace lookback {

// The same for the same counters in the same order, on every machine; of others, unrelated numbers: seeds for a Random.
std::uint64_t counter_hash(std::initializer_list<std::uint64_t> counters);

}  // namespace lookback
