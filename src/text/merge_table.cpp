#include "text/merge_table.h"

#include <functional>
#include <limits>
#include <queue>
#include <tuple>

namespace lookback {
namespace {

// Up to here, looking at all pairs again after each merge is faster than keeping a queue.
constexpr std::size_t longest_scanned_word = 24;

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32U) | static_cast<std::uint32_t>(right);
}

}  // namespace

void MergeTable::add(std::int32_t left, std::int32_t right, std::int32_t rank, std::int32_t merged) {
  merges_.insert_or_assign(pair_key(left, right), Merge{rank, merged});
}

const MergeTable::Merge* MergeTable::find(std::int32_t left, std::int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void MergeTable::apply(std::vector<std::int32_t>& symbols) const {
  if (symbols.size() <= longest_scanned_word) {
    apply_by_scanning(symbols);
  } else {
    apply_by_queue(symbols);
  }
}

void MergeTable::apply_by_scanning(std::vector<std::int32_t>& symbols) const {
  while (symbols.size() > 1) {
    Merge best{std::numeric_limits<std::int32_t>::max(), 0};
    std::size_t where = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const Merge* const merge = find(symbols[i], symbols[i + 1]);
      if (merge != nullptr && merge->rank < best.rank) {
        best = *merge;
        where = i;
      }
    }
    if (best.rank == std::numeric_limits<std::int32_t>::max()) return;
    symbols[where] = best.merged;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(where) + 1);
  }
}

void MergeTable::apply_by_queue(std::vector<std::int32_t>& symbols) const {
  // A linked list over the symbols, and possible merges by rank, then place. An entry whose symbols have changed
  // since is stale and skipped.
  using Entry = std::tuple<std::int32_t, std::size_t, std::int32_t, std::int32_t, std::int32_t>;
  constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
  constexpr std::int32_t gone = -1;
  std::vector<std::size_t> next(symbols.size());
  std::vector<std::size_t> previous(symbols.size());
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
  const auto offer = [&](std::size_t left) {
    if (left == none || next[left] == none) return;
    const std::int32_t right_symbol = symbols[next[left]];
    const Merge* const merge = find(symbols[left], right_symbol);
    if (merge != nullptr) queue.emplace(merge->rank, left, symbols[left], right_symbol, merge->merged);
  };
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    previous[i] = i == 0 ? none : i - 1;
    next[i] = i + 1 == symbols.size() ? none : i + 1;
  }
  for (std::size_t i = 0; i < symbols.size(); ++i) offer(i);
  while (!queue.empty()) {
    const auto [rank, left, left_symbol, right_symbol, merged] = queue.top();
    queue.pop();
    const std::size_t right = next[left];
    if (symbols[left] != left_symbol || right == none || symbols[right] != right_symbol) continue;
    symbols[left] = merged;
    symbols[right] = gone;
    next[left] = next[right];
    if (next[left] != none) previous[next[left]] = left;
    offer(previous[left]);
    offer(left);
  }
  std::erase(symbols, gone);
}

}  // namespace lookback
