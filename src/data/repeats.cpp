#include "data/repeats.h"

#include <algorithm>
#include <unordered_map>

#include "core/error.h"

namespace lookback {

std::vector<std::int64_t> repeat_distances(std::span<const std::int64_t> ids, std::int64_t min_match) {
  require(min_match >= 0, "min-match {}: must not be negative", min_match);
  if (min_match >= std::ssize(ids)) return std::vector<std::int64_t>(ids.size(), 0);
  constexpr std::uint64_t base = 0x9e3779b97f4a7c15;
  const std::int64_t length = min_match + 1;  // of what is compared, the token itself included
  std::uint64_t power = 1;                    // base ^ min_match
  for (std::int64_t i = 0; i < min_match; ++i) power *= base;
  std::vector<std::int64_t> distances(ids.size(), 0);
  std::unordered_map<std::uint64_t, std::int64_t> last;      // by hash: where such a run last ended
  std::vector<std::int64_t> with_same_hash(ids.size(), -1);  // the one before it, seldom another run
  std::uint64_t hash = 0;
  for (std::int64_t i = 0; i < std::ssize(ids); ++i) {
    const auto id_at = [&](std::int64_t position) { return ids[static_cast<std::size_t>(position)]; };
    if (i >= length) hash -= power * static_cast<std::uint64_t>(id_at(i - length) + 1);
    hash = hash * base + static_cast<std::uint64_t>(id_at(i) + 1);
    if (i < min_match) continue;
    const auto run_ending_at = [&](std::int64_t end) {
      return ids.subspan(static_cast<std::size_t>(end - min_match), static_cast<std::size_t>(length));
    };
    const auto [found, is_new] = last.try_emplace(hash, -1);
    std::int64_t source = found->second;
    with_same_hash[static_cast<std::size_t>(i)] = source;
    found->second = i;
    while (source >= 0 && !std::ranges::equal(run_ending_at(source), run_ending_at(i))) {
      source = with_same_hash[static_cast<std::size_t>(source)];
    }
    if (source >= 0) distances[static_cast<std::size_t>(i)] = i - source;
  }
  return distances;
}

}  // namespace lookback
