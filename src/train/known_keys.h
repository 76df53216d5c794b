// Keys that a person wrote, against those that exist.
#pragma once

#include <string>
#include <vector>

#include "core/json.h"

namespace lookback {

// The known key that takes the fewest insertions, deletions and replacements of letters to get from `key`; empty when
// none is near.
std::string nearest_key(const std::string& key, const std::vector<std::string>& known);

// Throws Error naming `source` and the first key of `object` that is not known, with the nearest one that is.
void require_known_keys(const Json& object, const std::vector<std::string>& known, const std::string& source);

}  // namespace lookback
