#include "memory/free_pages.h"

#include <iterator>

namespace lookback {

void FreePages::add(const PageRun& run) {
  auto [page, count] = run;
  if (count == 0) return;
  const auto after = runs_.lower_bound(page);
  if (after != runs_.end() && after->first == page + count) {
    count += after->second;
    erase(after);
  }
  const auto next = runs_.lower_bound(page);
  if (next != runs_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == page) {
      page = before->first;
      count += before->second;
      erase(before);
    }
  }
  runs_.emplace(page, count);
  by_length_.emplace(count, page);
}

std::optional<std::uint64_t> FreePages::take(std::uint64_t count) {
  const auto found = by_length_.lower_bound({count, 0});
  if (found == by_length_.end()) return std::nullopt;
  const auto [length, page] = *found;
  erase(runs_.find(page));
  if (length > count) {
    runs_.emplace(page + count, length - count);
    by_length_.emplace(length - count, page + count);
  }
  return page;
}

void FreePages::erase(std::map<std::uint64_t, std::uint64_t>::iterator run) {
  by_length_.erase({run->second, run->first});
  runs_.erase(run);
}

}  // namespace lookback
