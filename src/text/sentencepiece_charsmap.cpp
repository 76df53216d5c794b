#include "text/sentencepiece_charsmap.h"

#include <cstdint>
#include <cstring>
#include <vector>

namespace lookback {
namespace {

// A unit of Darts-clone's double array.
struct Unit {
  std::uint32_t bits;

  std::uint32_t value() const { return bits & 0x7FFFFFFF; }
  std::uint32_t label() const { return bits & 0x800000FF; }
  bool has_leaf() const { return (bits >> 8 & 1) != 0; }
  std::uint32_t offset() const { return bits >> 10 << ((bits & 1U << 9) >> 6); }
};

// The library takes down so many replacements of one search, and does not look whether there are more.
constexpr int most_found = 32;

class Trie {
 public:
  Trie(std::string_view bytes, std::size_t replacements_bytes)
      : units_(bytes.size() / sizeof(Unit)), replacements_bytes_(replacements_bytes), found_(units_.size(), -1) {
    if (!bytes.empty()) std::memcpy(units_.data(), bytes.data(), units_.size() * sizeof(Unit));
  }

  // Whether all that a search can come to is there.
  bool is_sound() {
    if (units_.empty() || !visit(units_[0].offset(), 0)) return false;
    while (!waiting_.empty()) {
      const std::uint32_t children = waiting_.back();
      waiting_.pop_back();
      for (std::uint32_t byte = 0; byte < 256; ++byte) {
        const Unit unit = units_[children ^ byte];
        if (unit.label() != byte) continue;
        const std::uint32_t next = children ^ byte ^ unit.offset();
        if (!visit(next, found_[children] + (unit.has_leaf() ? 1 : 0))) return false;
        if (unit.has_leaf() && units_[next].value() >= replacements_bytes_) return false;
      }
    }
    return true;
  }

 private:
  // A search at a node, which has found `found` replacements on its way, reads the unit `children` ^ byte for whatever
  // byte comes next.
  bool visit(std::uint32_t children, int found) {
    if ((children | 0xFF) >= units_.size() || found > most_found) return false;
    if (found <= found_[children]) return true;
    found_[children] = static_cast<std::int8_t>(found);
    waiting_.push_back(children);
    return true;
  }

  std::vector<Unit> units_;
  std::size_t replacements_bytes_;
  std::vector<std::int8_t> found_;  // the most on any way to a node, -1: none comes there
  std::vector<std::uint32_t> waiting_;
};

}  // namespace

bool is_sound_charsmap(std::string_view charsmap) {
  if (charsmap.empty()) return true;
  std::uint32_t trie_bytes = 0;
  if (charsmap.size() < sizeof trie_bytes) return false;
  std::memcpy(&trie_bytes, charsmap.data(), sizeof trie_bytes);
  charsmap.remove_prefix(sizeof trie_bytes);
  if (trie_bytes >= charsmap.size() || trie_bytes % sizeof(Unit) != 0 || charsmap.back() != '\0') return false;
  return Trie(charsmap.substr(0, trie_bytes), charsmap.size() - trie_bytes).is_sound();
}

}  // namespace lookback
