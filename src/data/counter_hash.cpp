#include "data/counter_hash.h"

#include <xxhash.h>

namespace lookback {

std::uint64_t counter_hash(std::initializer_list<std::uint64_t> counters) {
  return XXH64(counters.begin(), counters.size() * sizeof(std::uint64_t), 0);
}

}  // namespace lookback
