// Byte-pair encoding of one word: merges applied in the order in which they were learned (Sennrich et al. 2016).
#pragma once

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace lookback {

class MergeTable {
 public:
  // Of a pair that comes again, the later rank holds.
  void add(std::int32_t left, std::int32_t right, std::int32_t rank, std::int32_t merged);

  // Merges `symbols` in place until no merge applies. O(n log n) for n symbols, however long the word.
  void apply(std::vector<std::int32_t>& symbols) const;

 private:
  struct Merge {
    std::int32_t rank;
    std::int32_t merged;
  };
  const Merge* find(std::int32_t left, std::int32_t right) const;
  void apply_by_scanning(std::vector<std::int32_t>& symbols) const;
  void apply_by_queue(std::vector<std::int32_t>& symbols) const;

  std::unordered_map<std::uint64_t, Merge> merges_;
};

}  // namespace lookback
