// Pages of a file that nothing uses, as runs.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace lookback {

struct PageRun {
  std::uint64_t first = 0, count = 0;
};

class FreePages {
 public:
  // None of them may be among these already.
  void add(const PageRun& run);
  // Takes `count` pages side by side from the shortest run that has them; returns the first.
  std::optional<std::uint64_t> take(std::uint64_t count);

 private:
  void erase(std::map<std::uint64_t, std::uint64_t>::iterator run);

  std::map<std::uint64_t, std::uint64_t> runs_;                  // length by first page
  std::set<std::pair<std::uint64_t, std::uint64_t>> by_length_;  // length, first page
};

}  // namespace lookback
