#include "train/known_keys.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace lookback {
namespace {

// Levenshtein's distance, one row at a time.
std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest_key(const std::string& key, const std::vector<std::string>& known) {
  std::string nearest;
  std::size_t least = std::max<std::size_t>(3, key.size() / 2 + 1);  // farther is no slip of the pen
  for (const std::string& candidate : known) {
    const std::size_t distance = edit_distance(key, candidate);
    if (distance < least) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

void require_known_keys(const Json& object, const std::vector<std::string>& known, const std::string& source) {
  require(object.is_object(), "{}: expected a table of keys", source);
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const std::string nearest = nearest_key(key, known);
    if (!nearest.empty()) fail("{}: unknown key \"{}\"; did you mean \"{}\"?", source, key, nearest);
    fail("{}: unknown key \"{}\"; known are: {}", source, key, fmt::join(known, ", "));
  }
}

}  // namespace lookback
